"""Tiles cover everything, overlap as promised, and leave no trace of their borders."""

from __future__ import annotations

import itertools
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from tomoprior.methods.diffusion import tiling
from tomoprior.methods.diffusion.denoiser import BLIND_SIGMA, Condition, compute_depths
from tomoprior.methods.diffusion.tiling import MARGIN, TiledDenoiser, choose_tile_shape
from tomoprior.methods.learning.tiles import blend, tile_starts, tile_window

PHASES = (0.0, 0.01, 0.3, 0.5, 0.77, 0.999, 1.0)


@pytest.mark.parametrize(("tile", "overlap"), [(16, 8), (16, 0), (24, 5), (96, 8)])
def test_starts_cover_everything_with_the_promised_overlap(tile, overlap):
    for length, phase in itertools.product([*range(1, 4 * tile, 3), tile, tile + 1, 2 * tile - overlap, 1000], PHASES):
        found = tile_starts(length, tile, overlap, phase)
        if length <= tile:
            assert found == [0]
            continue
        assert found == sorted(set(found))
        assert found[0] == 0
        assert found[-1] == length - tile
        shared = [a + tile - b for a, b in itertools.pairwise(found)]
        assert min(shared) >= overlap, (length, phase, found)


def test_no_more_tiles_than_needed():
    for phase in PHASES:
        assert len(tile_starts(100, 16, 8, phase)) == 12
        assert len(tile_starts(128, 48, 8, phase)) == 3


def test_phases_move_the_borders():
    inner = {tuple(tile_starts(200, 48, 8, phase)[1:-1]) for phase in (0.0, 0.25, 0.5, 0.75)}
    assert len(inner) == 4


def test_a_window_is_full_inside_and_never_zero():
    w = tile_window(16, 4)
    assert torch.equal(w, w.flip(0))
    assert torch.equal(w[:5], torch.tensor([0.125, 0.375, 0.625, 0.875, 1.0]))
    assert float(tile_window(16, 0).min()) > 0


@pytest.mark.parametrize("phase", [(0.0, 0.0), (0.3, 0.9), (1.0, 0.5)])
@pytest.mark.parametrize("nz", [8, 21])
def test_predictions_that_are_right_come_out_as_they_are(phase, nz):
    x = torch.randn((nz, 37, 51), generator=torch.Generator().manual_seed(0))
    sizes = []

    def predict(boxes):
        sizes.append(len(boxes))
        return torch.stack([torch.stack([x[box], -2 * x[box]]) for box in boxes])

    found = blend(predict, (nz, 37, 51), (8, 16, 24), 8, phase, batch=3, depth_overlap=3)
    torch.testing.assert_close(found, torch.stack([x, -2 * x]), rtol=1e-6, atol=1e-6)
    assert max(sizes) <= 3


def test_where_tiles_disagree_they_go_over_into_each_other():
    numbers = iter(range(10))

    def predict(boxes):
        return torch.stack([torch.full((4, 16, 16), float(next(numbers))) for _ in boxes])

    found = blend(predict, (4, 16, 24), (4, 16, 16), 8)[0, 0]
    step = found.diff()
    assert float(found[0]) == 0
    assert float(found[-1]) == 1
    assert bool((step >= -1e-6).all())
    assert float(step.max()) < 0.2  # over eight voxels


class Recording(torch.nn.Module):
    """Replaces the network: records its inputs, and returns the noisy tiles."""

    def __init__(self):
        super().__init__()
        self.calls = []
        self.unet = SimpleNamespace(multiple=(4, 4, 4))

    def forward(self, noisy, sigma, linear, inside, depth, coverage, numbers, conditioned):
        volumes = {"noisy": noisy, "linear": linear, "inside": inside}
        self.calls.append({**volumes, "sigma": sigma, "coverage": coverage, "conditioned": conditioned, "depth": depth})
        return noisy, sigma


def condition(shape):
    g = torch.Generator().manual_seed(1)
    linear, inside = torch.randn(shape, generator=g), torch.rand(shape, generator=g)
    return Condition(linear, inside, torch.rand((shape[0], shape[2]), generator=g), torch.zeros(7))


@pytest.fixture
def small_tiles(monkeypatch):
    """Volumes wider than 16 voxels are cut into tiles of 16 that share 8."""
    monkeypatch.setattr(tiling, "MAX_SINGLE_TILE", 16)
    monkeypatch.setattr(tiling, "TILE_EDGE", 16)
    monkeypatch.setattr(tiling, "OVERLAP", 8)


@pytest.fixture
def exact(monkeypatch):
    """Float32, whatever the processor supports."""
    monkeypatch.setattr(tiling, "choose_network_dtype", lambda _: torch.float32)


def test_edges_of_tiles():
    assert choose_tile_shape((32, 100, 50), (32, 48, 48), (8, 8, 8)) == (32, 104, 56)  # up to the least multiple
    assert choose_tile_shape((32, 10, 176), (32, 48, 48), (8, 1, 8)) == (32, 48, 176)  # no smaller than in training
    assert choose_tile_shape((32, 177, 5000), (32, 48, 48), (8, 8, 8)) == (32, 128, 128)


@pytest.mark.parametrize("shape", [(16, 40, 21), (16, 3, 40), (16, 16, 16), (16, 1, 5), (9, 20, 7), (32, 20, 7)])
@pytest.mark.parametrize("cut", [False, True])
def test_volumes_of_any_size_keep_their_size(shape, cut, request):
    if cut:
        request.getfixturevalue("small_tiles")
    given = condition(shape)
    network = Recording()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    found = TiledDenoiser(network, (16, 16, 16), given)(x, 0.7, (0.4, 0.2))
    torch.testing.assert_close(found, x, rtol=1e-5, atol=1e-5)
    edges = tuple(n + 2 * MARGIN for n in shape[1:])
    assert (len(network.calls) > (3 if shape[0] > 16 else 1)) == cut
    for call in network.calls:
        tile = tuple(call["noisy"].shape[1:])
        assert tile == choose_tile_shape((16, *edges), (16, 16, 16), (4, 4, 4))
        assert call["coverage"].shape[1:] == (16, tile[2])
        assert call["inside"].shape[1:] == tile
        assert torch.equal(call["sigma"], torch.full_like(call["sigma"], 0.7))
        assert bool((call["conditioned"] == 1).all())
        outside = call["depth"].abs() > 1
        assert outside.sum(1).tolist() == [max(0, 16 - shape[0])] * len(outside)
        for name in ("noisy", "linear", "inside", "coverage"):
            assert not bool(call[name][outside].any())
            assert bool(call[name][~outside].any())


@pytest.mark.parametrize("shape", [(16, 12, 20), (16, 1, 5), (9, 20, 7)])
def test_margins_are_mirror_images(shape):
    """Along y and x the voxels repeat in reverse, several times for a short volume."""
    given = condition(shape)
    network = Recording()
    x = torch.randn(shape, generator=torch.Generator().manual_seed(2))
    TiledDenoiser(network, (16, 16, 16), given)(x, 0.7)
    (call,) = network.calls
    low = (16 - shape[0]) // 2

    def grown(v, axis, length):
        period = torch.cat([v, v.flip(axis)], axis)
        index = (torch.arange(length) - MARGIN) % period.shape[axis]
        return period.index_select(axis, index)

    for name, value in (("noisy", x), ("linear", given.linear), ("inside", given.inside)):
        seen = call[name][0, low : low + shape[0]]
        assert torch.equal(seen, grown(grown(value, 1, seen.shape[1]), 2, seen.shape[2])), name
    seen = call["coverage"][0, low : low + shape[0]]
    assert torch.equal(seen, grown(given.coverage, 1, seen.shape[1]))


@pytest.mark.usefixtures("small_tiles")
def test_a_tile_gets_its_part_of_the_condition():
    given = condition((16, 40, 40))
    network = Recording()
    TiledDenoiser(network, (16, 16, 16), given)(given.linear, 1.0)
    for call in network.calls:
        assert torch.equal(call["noisy"], call["linear"])
    placed = {tuple(c.flatten()[:3].tolist()) for call in network.calls for c in call["coverage"]}
    assert len(placed) == len(tile_starts(40 + 2 * MARGIN, 16, 8))


def test_the_unconditional_prior_gets_zero():
    network = Recording()
    TiledDenoiser(network, (16, 16, 16), condition((16, 16, 16)), conditioned=False)(torch.zeros(16, 16, 16), 1.0)
    assert bool((network.calls[0]["conditioned"] == 0).all())


def test_tiles_of_a_thick_volume_have_the_depths_of_a_filled_grid():
    network, given = Recording(), condition((20, 8, 8))
    TiledDenoiser(network, (16, 16, 16), given)(torch.zeros(20, 8, 8), 1.0)
    first, second = network.calls
    for call, start in ((first, 0), (second, 4)):
        torch.testing.assert_close(call["depth"][0], compute_depths(16, 16))
        torch.testing.assert_close(call["coverage"][0, :, MARGIN : MARGIN + 8], given.coverage[start : start + 16])
        inner = slice(MARGIN, MARGIN + 8)
        torch.testing.assert_close(call["linear"][0][:, inner, inner], given.linear[start : start + 16])


def test_the_mean_uses_the_blind_level():
    network = Recording()
    given = condition((12, 20, 20))
    denoise = TiledDenoiser(network, (16, 16, 16), given)
    assert not bool(denoise.mean().any())  # the noisy volume that it gives back
    assert bool((network.calls[0]["sigma"] >= BLIND_SIGMA).all())
    assert denoise.mean().shape == (12, 20, 20)


def mirrored(given, axes):
    """The condition of the mirrored specimen."""
    along = [a // 2 for a in axes if a != 1]
    return Condition(given.linear.flip(axes), given.inside.flip(axes), given.coverage.flip(along), given.numbers)


WAYS = [(), (1,), (0, 2), (0, 1, 2)]


@pytest.mark.usefixtures("exact")
def test_the_mirrored_mean_is_the_mean_over_mirrored_conditions(network):
    given = replace(condition((12, 20, 24)), numbers=torch.linspace(-0.5, 0.5, 7))
    d = network(weights=0.1)
    found = TiledDenoiser(d, (16, 16, 16), given).mirrored_mean()
    means = [TiledDenoiser(d, (16, 16, 16), mirrored(given, axes)).mean().flip(axes) for axes in WAYS]
    assert float((means[0] - means[3]).norm()) > 0.1 * float(means[0].norm())  # this network does not do it by itself
    torch.testing.assert_close(found, sum(means) / 4, rtol=1e-3, atol=1e-3 * float(found.abs().max()))


@pytest.mark.usefixtures("small_tiles", "exact")
def test_the_mirrored_mean_in_tiles(network):
    given = condition((16, 21, 24))
    d = network(weights=0.1)
    denoise = TiledDenoiser(d, (16, 16, 16), given)
    before = denoise.mean()
    found = denoise.mirrored_mean()
    assert torch.equal(denoise.mean(), before)  # it leaves the conditions as they were
    means = [TiledDenoiser(d, (16, 16, 16), mirrored(given, axes)).mean().flip(axes) for axes in WAYS]
    # borders of tiles lie elsewhere in a mirrored volume that is wider than its own by an odd number
    assert float((found - sum(means) / 4).norm()) < 0.1 * float(found.norm())


class Pointwise(torch.nn.Module):
    """Replaces the network: a voxel's result depends on its own inputs and its depth."""

    def __init__(self):
        super().__init__()
        self.unet = SimpleNamespace(multiple=(4, 4, 4))

    def forward(self, noisy, sigma, linear, inside, depth, coverage, numbers, conditioned):
        depth = depth[..., None, None]
        return linear * (1 + depth) + depth**3 * inside + (2 + depth) * coverage[:, :, None], sigma


@pytest.mark.parametrize("nz", [12, 11, 16, 5])
def test_the_mirrored_mean_of_a_grid_off_the_tiles_middle(nz):
    """An odd grid lies half a voxel off the middle of an even tile, and its mirror image on the other side."""
    given = condition((nz, 9, 14))
    depth = compute_depths(nz, nz)[:, None, None]
    want = torch.zeros(nz, 9, 14)
    for axes in WAYS:
        own = -depth if 0 in axes else depth
        want += given.linear * (1 + own) + own**3 * given.inside + (2 + own) * given.coverage[:, None]
    denoise = TiledDenoiser(Pointwise(), (16, 16, 16), given)
    torch.testing.assert_close(denoise.mirrored_mean(), want / 4, rtol=1e-4, atol=1e-4)
    plain = given.linear * (1 + depth) + depth**3 * given.inside + (2 + depth) * given.coverage[:, None]
    torch.testing.assert_close(denoise.mean(), plain, rtol=1e-4, atol=1e-4)
