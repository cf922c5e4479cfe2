"""ASTRA's own algorithms as methods: the conformance checks."""

import numpy as np
import pytest
import torch

from tomoprior import Geometry, Projector, methods, testing
from tomoprior.errors import InputError, SettingsError

#: ART and SART go through rays and tilts one after the other; CGLS amplifies rounding
OPTIONS = {
    "ART": {"order_tolerance": 0.2},
    "BP": {},
    "CGLS": {"order_tolerance": 0.02},
    "FBP": {"center": 12.0},
    "SART": {"order_tolerance": 0.2},
    "SIRT": {},
}


@pytest.mark.parametrize("name", OPTIONS)
def test_conformance(name):
    testing.check_method(f"astra.{name}", {"num_iter": 10}, **OPTIONS[name])


def test_astra_prints_nothing(capfd):
    """Its warnings go to the terminal past Python: an option that an algorithm does not know is one."""
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 7)), (8, 2, 8))
    p, projector = torch.ones(geometry.range_shape), Projector(geometry, "cpu")
    for name in OPTIONS:
        method = methods.get(f"astra.{name}")
        bounds = {} if name in ("BP", "FBP", "CGLS") else {"min_constraint": 0.0, "max_constraint": 2.0}
        method.reconstruct(p, projector, method.Settings(num_iter=2, **bounds), mask=torch.ones(8, 8))
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")


def test_bounds_are_kept():
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 7)), (8, 2, 8))
    method = methods.get("astra.SIRT")
    p = torch.randn(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    settings = method.Settings(num_iter=20, min_constraint=0.0, max_constraint=0.1)
    x = method.reconstruct(p, Projector(geometry, "cpu"), settings).volume
    assert x.min() == 0
    assert x.max() == pytest.approx(0.1)


def test_shifts_along_y_are_refused():
    geometry = Geometry(np.deg2rad([-30, 0, 30]), (8, 2, 8), shifts=np.ones((3, 2)))
    method = methods.get("astra.SIRT")
    with pytest.raises(InputError, match="along y"):
        method.reconstruct(torch.ones(geometry.range_shape), Projector(geometry, "cpu"), method.Settings())


def test_settings_are_checked():
    with pytest.raises(SettingsError, match="did you mean num_iter"):
        methods.get("astra.SIRT").Settings.parse({"num_iters": 3})


def test_a_blank_slice_stays_blank():
    """ASTRA's CGLS divides by the norm of the data."""
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (12, 3, 16))
    projections = torch.rand(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    projections[:, 0] = 0
    method = methods.get("astra.CGLS")
    volume = method.reconstruct(projections, Projector(geometry, "cpu"), method.Settings.parse({"num_iter": 5})).volume
    assert torch.isfinite(volume).all()
    assert not volume[:, 0].any()
    assert volume[:, 1].any()


def test_bounds_that_an_algorithm_does_not_know_are_refused():
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (12, 1, 16))
    method = methods.get("astra.CGLS")
    with pytest.raises(InputError, match="bounds"):
        method.reconstruct(
            torch.ones(geometry.range_shape), Projector(geometry, "cpu"), method.Settings.parse({"min_constraint": 0})
        )


def gaussian(shape: tuple[int, int, int], angles: np.ndarray, axis: np.ndarray | float) -> tuple[np.ndarray, np.ndarray]:
    """A wide Gaussian off the axis, and its line integrals, with the axis at ``axis`` pixels from the edge (of each tilt)."""
    nz, ny, nx = shape
    z, x = np.meshgrid(np.arange(nz) - (nz - 1) / 2, np.arange(nx) - (nx - 1) / 2, indexing="ij")
    truth = np.exp(-((z - 4) ** 2 + (x + 5) ** 2) / 32)
    u = np.arange(nx) + 0.5 - np.broadcast_to(axis, angles.shape)[:, None]
    rays = np.sqrt(2 * np.pi) * 4 * np.exp(-((u - (-5 * np.cos(angles) - 4 * np.sin(angles))[:, None]) ** 2) / 32)
    repeated = truth[:, None].repeat(ny, 1), rays[:, None].repeat(ny, 1)
    return repeated[0].astype(np.float32), repeated[1].astype(np.float32)


def fbp_error(geometry: Geometry, rays: np.ndarray, truth: np.ndarray) -> float:
    method = methods.get("astra.FBP")
    volume = method.reconstruct(torch.from_numpy(rays), Projector(geometry, "cpu"), method.Settings()).volume.numpy()
    return float(np.linalg.norm(volume - truth) / np.linalg.norm(truth))


@pytest.mark.parametrize("axis", [32.0, 27.0, 35.5, 32.3])
def test_fbp_takes_the_axis_anywhere(axis):
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    truth, rays = gaussian((48, 1, 64), angles, axis)
    assert fbp_error(Geometry(angles, (48, 1, 64), center=axis), rays, truth) < 0.025


def test_fbp_takes_shifts_of_the_tilts_along_u():
    angles = np.linspace(0, np.pi, 90, endpoint=False)
    moved = np.random.default_rng(0).uniform(-2, 2, 90)
    truth, rays = gaussian((48, 1, 64), angles, 32 + moved)
    geometry = Geometry(angles, (48, 1, 64), shifts=np.stack([np.zeros(90), moved], 1))
    assert fbp_error(geometry, rays, truth) < 0.025


def test_fbp_weighs_tilts_by_the_angle_that_each_represents():
    """Twice as many tilts in one half of the range as in the other, and a limited range that has the scale of wbp."""
    angles = np.concatenate([np.linspace(0, np.pi / 2, 90, endpoint=False), np.linspace(np.pi / 2, np.pi, 45, endpoint=False)])
    truth, rays = gaussian((48, 1, 64), angles, 32.0)
    assert fbp_error(Geometry(angles, (48, 1, 64)), rays, truth) < 0.025
    limited = np.deg2rad(np.linspace(-60, 60, 61))
    geometry = Geometry(limited, (48, 1, 64))
    rays = torch.from_numpy(gaussian((48, 1, 64), limited, 32.0)[1])
    volumes = []
    for name in ("astra.FBP", "wbp"):
        method = methods.get(name)
        volumes.append(method.reconstruct(rays, Projector(geometry, "cpu"), method.Settings()).volume)
    assert torch.linalg.vector_norm(volumes[0] - volumes[1]) < 0.03 * torch.linalg.vector_norm(volumes[1])


def test_fbp_of_even_tilts_is_astras_own_to_the_bit():
    import astra

    angles = np.linspace(0, np.pi, 60, endpoint=False)
    _, rays = gaussian((64, 1, 64), angles, 32.0)
    geometry = Geometry(angles, (64, 1, 64))
    method = methods.get("astra.FBP")
    found = method.reconstruct(torch.from_numpy(rays), Projector(geometry, "cpu"), method.Settings()).volume[:, 0].numpy()
    grid, beams = astra.create_vol_geom(64, 64), astra.create_proj_geom("parallel", 1.0, 64, angles)
    ids = [astra.create_projector("linear", beams, grid), astra.data2d.create("-sino", beams, rays[:, 0]), 0, 0]
    ids[2] = astra.data2d.create("-vol", grid)
    config = astra.astra_dict("FBP") | {"ProjectorId": ids[0], "ProjectionDataId": ids[1], "ReconstructionDataId": ids[2]}
    config["option"] = {"FilterType": "ram-lak"}
    ids[3] = astra.algorithm.create(config)
    astra.algorithm.run(ids[3])
    expected = astra.data2d.get(ids[2])
    for table, number in zip((astra.algorithm, astra.data2d, astra.data2d, astra.projector), reversed(ids), strict=True):
        table.delete(number)
    np.testing.assert_array_equal(found, expected)
