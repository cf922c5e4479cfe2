"""Encoders: conformance, where their nodes lie, and that the checks find what is wrong."""

import numpy as np
import pytest
import torch

from tomoprior import testing
from tomoprior.errors import SettingsError
from tomoprior.methods.cn.encoders import REGISTRY, Coordinates, make_encoder, make_generator
from tomoprior.methods.cn.encoders.base import Encoder, Layer
from tomoprior.methods.cn.encoders.grid import Grid, Level
from tomoprior.methods.cn.encoders.hash import HashedLevel
from tomoprior.methods.cn.settings import CLASSES, CNSettings

EXTENT = (7, 5, 12)


def settings(name, **values):
    """Settings of an encoder; those that it does not have are left out."""
    kind = CLASSES[name]
    values = {"width": 16, "features": 2, "levels": 3, **values}
    return kind(**{k: v for k, v in values.items() if k in kind.model_fields})


@pytest.mark.parametrize("coordinates", ["isotropic", "per-axis"])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_conformance(name, coordinates):
    values, seen = settings(name, table_size=5, seed=0), Coordinates(EXTENT, coordinates)
    testing.check_encoder(lambda: REGISTRY[name](values, seen, make_generator(values)))


@pytest.mark.parametrize("extent", [(1, 1, 9), (9, 1, 1), (1, 1, 1), (2, 2, 2)])
@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_extents_of_one_voxel(name, extent):
    encoder = make_encoder(settings(name, table_size=4), extent)
    features = encoder(torch.rand(50, 3))
    assert features.shape == (50, encoder.out_features)
    assert torch.isfinite(features).all()


def test_spline_is_no_network():
    with pytest.raises(SettingsError, match="siren, fourier, grid, hash"):
        make_encoder(CNSettings(), EXTENT)


@pytest.mark.parametrize("kind", ["isotropic", "per-axis"])
def test_coordinates(kind):
    c = Coordinates((5, 2, 9), kind)
    corners = c.of_voxels(torch.tensor([[0, 0, 0], [4, 1, 8]], dtype=torch.float64))
    if kind == "per-axis":
        assert corners.tolist() == [[0, 0, 0], [1, 1, 1]]
    else:
        np.testing.assert_allclose(corners, [[-0.5, -0.125, -1], [0.5, 0.125, 1]])
    points = torch.rand(20, 3, dtype=torch.float64) * 8
    torch.testing.assert_close(c.to_voxels(c.of_voxels(points)), points)


def test_the_finest_level_has_a_node_on_every_voxel_and_the_next_on_every_other():
    encoder = Grid(Coordinates(EXTENT), 3, 1, torch.Generator().manual_seed(0))
    assert [level.spacing for level in encoder.levels] == [4, 2, 1]
    assert [level.nodes for level in encoder.levels] == [(3, 2, 4), (4, 3, 7), EXTENT]
    voxels = torch.stack(torch.meshgrid(*(torch.arange(n) for n in EXTENT), indexing="ij"), -1).double()
    features = encoder(Coordinates(EXTENT).of_voxels(voxels.reshape(-1, 3)).float()).detach().reshape(*EXTENT, 3)
    nz, ny, nx = EXTENT
    expected = encoder.levels[2].values.detach().reshape(nz, nx, ny).permute(0, 2, 1)
    torch.testing.assert_close(features[..., 2], expected, rtol=1e-4, atol=1e-7)
    coarse = encoder.levels[1].values.detach().reshape(4, 7, 3).permute(0, 2, 1)
    torch.testing.assert_close(features[::2, ::2, ::2, 1], coarse[:, :, :6], rtol=1e-4, atol=1e-7)
    between = (coarse[0, 0, 0] + coarse[0, 0, 1]) / 2
    torch.testing.assert_close(features[0, 0, 1, 1], between, rtol=1e-4, atol=1e-7)


def test_levels_reproduce_a_plane():
    """Linear interpolation of a linear function is exact, at any point."""
    for spacing in (1, 2, 4):
        level = Level(Coordinates((9, 5, 13)), spacing, 1, torch.Generator().manual_seed(0))
        mz, my, mx = level.nodes
        z, x, y = torch.meshgrid(torch.arange(mz), torch.arange(mx), torch.arange(my), indexing="ij")
        with torch.no_grad():
            level.values.copy_((spacing * (0.3 * z - 0.2 * y + 0.1 * x)).reshape(1, -1))
        at = torch.rand(100, 3, dtype=torch.float64) * torch.tensor([8.0, 4, 12])
        found = level(level.coordinates.of_voxels(at).float())[:, 0].detach()
        torch.testing.assert_close(
            found, (at @ torch.tensor([0.3, -0.2, 0.1], dtype=torch.float64)).float(), rtol=1e-4, atol=1e-5
        )


def test_hash_is_dense_where_a_level_fits_and_shares_entries_elsewhere():
    encoder = make_encoder(settings("hash", table_size=6), EXTENT)
    assert [type(level) for level in encoder.levels] == [Level, HashedLevel, HashedLevel]
    assert [level.values.shape[1] for level in encoder.levels] == [3 * 2 * 4, 64, 64]
    # eq. 4 of Mueller et al., in integers of any size
    z, y, x = 3, 4, 11
    expected = ((x * 1) ^ (y * 2654435761) ^ (z * 805459861)) % 64
    found = encoder.levels[2].entry(torch.tensor(z), torch.tensor(y), torch.tensor(x))
    assert int(found) == expected


def test_a_table_that_holds_everything_makes_hash_the_same_as_grid():
    at = torch.rand(50, 3)
    dense, hashed = (make_encoder(settings(name, seed=0), EXTENT) for name in ("grid", "hash"))
    assert torch.equal(dense(at), hashed(at))


def test_frequencies_of_fourier_are_in_cycles_per_voxel():
    for kind in ("isotropic", "per-axis"):
        c = Coordinates((9, 17, 33), kind)
        values = settings("fourier", bandwidth=0.1, features=50)
        encoder = REGISTRY["fourier"](values, c, make_generator(values))
        cycles_per_voxel = encoder.waves * torch.tensor(c.step) / (2 * np.pi)
        np.testing.assert_allclose(cycles_per_voxel.std(0), 0.1, rtol=0.05)


def test_without_a_seed_of_their_own_weights_have_that_of_the_run():
    torch.manual_seed(7)
    run, own, other = (make_encoder(settings("siren", seed=seed), EXTENT).layer.weight for seed in (None, 7, 0))
    assert torch.equal(run, own)
    assert not torch.equal(run, other)


def test_weights_depend_on_the_seed_alone_and_leave_torchs_generator_alone():
    torch.manual_seed(1)
    state = torch.get_rng_state()
    a, b, c = (make_encoder(settings("siren", seed=seed), EXTENT) for seed in (0, 0, 1))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(a.layer.weight, b.layer.weight)
    assert not torch.equal(a.layer.weight, c.layer.weight)


class Broken(Encoder):
    """A layer, with a fault to choose."""

    def __init__(self, fault):
        super().__init__()
        self.out_features = 3
        self.fault = fault
        self.layer = Layer(3, 3, 0.5, torch.Generator().manual_seed(0 if fault != "random" else int(torch.randint(1000, ()))))
        self.spare = torch.nn.Parameter(torch.zeros(1)) if fault == "no gradient" else None

    def forward(self, points):
        features = self.layer(points)
        if self.fault == "shape":
            return features[:, :2]
        if self.fault == "double":
            return features.double()
        if self.fault == "steps":
            return features + (points * 10).round()
        if self.fault == "detached":
            return features + self.layer(points).detach()
        if self.fault == "batch":
            return features - features.mean()
        if self.fault == "infinite":
            return features / 0
        return features

    def on_grid(self, z, y, x):
        return super().on_grid(z, x, y) if self.fault == "order" else super().on_grid(z, y, x)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shape", "shape"),
        ("double", "float64"),
        ("steps", "step"),
        ("detached", "slope"),
        ("batch", "other points of the call"),
        ("infinite", "finite"),
        ("order", "y fastest"),
        ("random", "second encoder"),
        ("no gradient", "no gradient"),
    ],
)
def test_the_checks_find(fault, message):
    with pytest.raises(AssertionError, match=message):
        testing.check_encoder(lambda: Broken(fault))


def test_the_checks_pass_what_is_right():
    testing.check_encoder(lambda: Broken(None))
    testing.check_encoder(Broken(None))
