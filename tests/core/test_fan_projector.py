"""The projector of a fan beam: ASTRA's numbers, an analytic disc, the limit of a parallel beam, refusals."""

import astra
import numpy as np
import pytest
import torch

from tomoprior import FanGeometry, Geometry, Projector, testing
from tomoprior.adapters.astra import disk_cache, linear_kernel
from tomoprior.adapters.astra.geometry import vectors_2d
from tomoprior.adapters.astra.matrix import MatrixBackend
from tomoprior.errors import BackendError

ANGLES = np.deg2rad([-170.0, -90.0, -45.0, -40.0, 0.0, 1.0, 30.0, 45.0, 77.0, 90.0, 135.0])


def fan(nz=20, ny=3, nx=24, nu=40, **values):
    return FanGeometry(
        ANGLES, (nz, ny, nx), (ny, nu), **{"source_distance": 40, "detector_distance": 20, "pixel_size": 1.3, **values}
    )


def blob(geometry, z=3.0, x=-4.0, sigma=4.0):
    nz, ny, nx = geometry.shape
    zz, xx = np.arange(nz)[:, None] - (nz - 1) / 2, np.arange(nx)[None, :] - (nx - 1) / 2
    image = np.exp(-((zz - z) ** 2 + (xx - x) ** 2) / (2 * sigma**2))
    return np.repeat(image[:, None], ny, 1).astype(np.float32)


def astra_projections(geometry, volume, kind):
    """ASTRA's own ``fanflat`` projection and back-projection of every slice."""
    rays = astra.create_proj_geom(
        "fanflat", geometry.pixel_size, geometry.detector[1], geometry.angles, geometry.source_distance,
        geometry.detector_distance,
    )  # fmt: skip
    grid = astra.create_vol_geom(geometry.shape[0], geometry.shape[2])
    projector = astra.create_projector(kind + "_fanflat", rays, grid)
    forward, back = [], []
    for y in range(geometry.shape[1]):
        number, sinogram = astra.create_sino(np.ascontiguousarray(volume[:, y]), projector)
        astra.data2d.delete(number)
        number, image = astra.create_backprojection(sinogram, projector)
        astra.data2d.delete(number)
        forward.append(sinogram)
        back.append(image)
    astra.projector.delete(projector)
    return np.stack(forward, 1), np.stack(back, 1)


@pytest.mark.parametrize("backend", ["astra-matrix", "astra-2d"])
@pytest.mark.parametrize("kind", ["line", "strip"])
def test_projections_are_those_of_astra(kind, backend):
    geometry = fan()
    volume = np.random.default_rng(0).random(geometry.shape).astype(np.float32)
    A = Projector(geometry, "cpu", kind, backend)
    expected, back = astra_projections(geometry, volume, kind)
    assert np.linalg.norm(A(volume) - expected) <= 1e-5 * np.linalg.norm(expected)
    assert np.linalg.norm(A.T(expected) - back) <= 1e-5 * np.linalg.norm(back)


@pytest.mark.parametrize("kind", ["linear", "line", "strip"])
def test_conformance(kind):
    A = Projector(fan(center=20.0 if kind == "strip" else 18.7), "cpu", kind)
    assert A.backend == "astra-matrix"
    testing.check_projector(A)
    assert A.adjoint_error() < 1e-6


@pytest.mark.parametrize("size", [(20, 3, 24, 40), (5, 17, 30, 33), (24, 1, 5, 64)], ids=str)
def test_without_a_matrix_the_numbers_are_the_same(size):
    """Rays of one view that are steep and flat included: the fan of half-width 33 degrees around 30 and 45 degrees."""
    geometry = fan(*size, center=18.7, pixel_size=1.9)
    numba, matrix = (Projector(geometry, "cpu", "linear", backend) for backend in ("numba", "astra-matrix"))
    rng = np.random.default_rng(0)
    x, y = rng.random(geometry.domain_shape), rng.random(geometry.range_shape)
    for a, b in ((numba(x), matrix(x)), (numba.T(y), matrix.T(y))):
        assert np.linalg.norm(a - b) <= 1e-5 * np.linalg.norm(b)
    assert numba.adjoint_error() < 1e-6
    testing.check_projector(numba)


def test_centres_and_shifts_of_their_own_are_projected_as_such():
    shifts = np.random.default_rng(1).normal(size=(len(ANGLES), 2))
    geometry = fan(center=[19.0, 20.5, 21.0], shifts=shifts)
    testing.check_projector(Projector(geometry, "cpu"))
    one = fan(ny=1, center=20.5, shifts=shifts * [0, 1])
    volume = np.zeros(geometry.shape, np.float32)
    volume[:, 1] = blob(one)[:, 0]
    flat = FanGeometry.from_dict({**geometry.to_dict(), "shifts": (shifts * [0, 1]).tolist()})
    np.testing.assert_allclose(Projector(flat, "cpu")(volume)[:, 1], Projector(one, "cpu")(blob(one))[:, 0], atol=1e-5)


def test_the_linear_kernel_agrees_with_line_on_a_smooth_image():
    geometry = fan(64, 1, 64, 120, source_distance=150, detector_distance=50, center=59.3)
    linear, line = (Projector(geometry, "cpu", kind)(blob(geometry, sigma=6.0)) for kind in ("linear", "line"))
    assert np.linalg.norm(linear - line) < 0.015 * np.linalg.norm(line)


def test_a_gaussian_has_its_analytic_line_integrals():
    """The integral along a ray at distance s from the centre is sqrt(2 pi) sigma exp(-s^2 / (2 sigma^2))."""
    geometry = fan(64, 1, 64, 120, source_distance=150, detector_distance=50, center=59.3)
    z, x, sigma = 5.0, -8.0, 6.0
    index = np.tile(np.arange(120.0), (len(ANGLES), 1))
    phi, u = geometry.parallel_coordinates(index, 0)
    distance = x * np.cos(phi) - z * np.sin(phi) - u
    expected = np.sqrt(2 * np.pi) * sigma * np.exp(-(distance**2) / (2 * sigma**2))
    found = Projector(geometry, "cpu")(blob(geometry, z, x, sigma))[:, 0]
    assert np.abs(found - expected).max() < 4e-3 * expected.max()


def test_a_disc_has_the_chords_of_a_circle():
    geometry = fan(64, 1, 64, 120, source_distance=150, detector_distance=50)
    zz, xx = (np.mgrid[0 : 64 * 8, 0 : 64 * 8] + 0.5) / 8 - 32
    disc = ((zz - 3) ** 2 + (xx + 4) ** 2 <= 20**2).reshape(64, 8, 64, 8).mean((1, 3))[:, None].astype(np.float32)
    phi, u = geometry.parallel_coordinates(np.tile(np.arange(120.0), (len(ANGLES), 1)), 0)
    chords = 2 * np.sqrt(np.maximum(0, 20**2 - (-4 * np.cos(phi) - 3 * np.sin(phi) - u) ** 2))
    found = Projector(geometry, "cpu")(disc)[:, 0]
    assert np.sqrt(np.mean((found - chords) ** 2)) < 0.01 * chords.max()


@pytest.mark.parametrize(("distance", "error"), [(1e4, 2e-3), (1e7, 2e-5)])
def test_far_away_it_is_the_parallel_beam(distance, error):
    parallel = Geometry(ANGLES, (64, 1, 64), (1, 90), center=44.2)
    far = FanGeometry(ANGLES, (64, 1, 64), (1, 90), center=44.2, source_distance=distance, detector_distance=distance / 2)
    volume = blob(parallel)
    expected = Projector(parallel, "cpu")(volume)
    assert np.abs(Projector(far, "cpu")(volume) - expected).max() < error * expected.max()


def test_the_entries_are_at_most_those_of_the_estimate():
    for geometry in (fan(), fan(center=13.0), fan(5, 1, 24), fan(24, 1, 5, nu=200)):
        nz, _, nx = geometry.shape
        matrix = linear_kernel.build_matrix(vectors_2d(geometry, 0), nz, nx, geometry.detector[1], fan=True, threads=2)
        assert 16 * matrix.nnz <= MatrixBackend.cost(geometry, "linear").bytes


def test_a_ray_through_a_corner_of_steep_and_flat_directions_is_followed_once():
    """Around 45 degrees the rays of one view are steep and flat; each crosses a homogeneous square by its chord's length."""
    geometry = FanGeometry([np.pi / 4], (32, 1, 32), (1, 3), source_distance=60, detector_distance=60, pixel_size=10.0)
    found = Projector(geometry, "cpu")(np.ones(geometry.shape))[0, 0]
    assert found[1] == pytest.approx(32 * np.sqrt(2), rel=0.02)
    assert found[0] == pytest.approx(found[2], rel=1e-5)
    # an outer ray runs gamma from the diagonal, at the distance 60 sin(gamma) from the centre
    gamma = np.arctan(10 / 120)
    along = np.array([np.cos(np.pi / 4 - gamma), np.sin(np.pi / 4 - gamma)])[:, None]
    point = 60 * np.sin(gamma) * np.array([-along[1], along[0]])
    points = point + along * np.linspace(-40, 40, 80001)
    assert found[0] == pytest.approx((np.abs(points).max(0) <= 16).mean() * 80, rel=0.02)


def test_backends_that_cannot_compute_a_fan_say_so():
    for backend, kind, reason in (
        ("astra-2d", "linear", "no linear kernel for a fan"),
        ("astra-matrix", "strip", "axis in the middle"),
    ):
        with pytest.raises(BackendError, match=reason):
            Projector(fan(center=18.7), "cpu", kind, backend)


def test_fans_and_parallel_beams_have_entries_of_their_own_in_the_cache_on_disk():
    keys = {
        disk_cache.matrix_key(g, 0, "line")
        for g in (fan(), fan(source_distance=41), fan(detector_distance=21), fan(pixel_size=1.4))
    }
    assert len(keys) == 4
    assert disk_cache.matrix_key(Geometry(ANGLES, (20, 3, 24), (3, 40)), 0, "line") not in keys


def test_the_gradient_flows_through_a_fan():
    A = Projector(fan(), "cpu")
    x = torch.zeros(A.domain_shape, requires_grad=True)
    (0.5 * (A(x) - 1).square().sum()).backward()
    torch.testing.assert_close(x.grad, -A.T(torch.ones(A.range_shape)))
