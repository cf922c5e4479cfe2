"""Our matrices against ASTRA itself: its own geometry, its own export, its own weights."""

import astra
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior import Geometry, Projector
from tomoprior.adapters.astra import linear_kernel
from tomoprior.adapters.astra.export import export_matrix
from tomoprior.adapters.astra.geometry import slice_geometries, vectors_2d, vectors_3d
from tomoprior.adapters.astra.matrix import BYTES_PER_ENTRY, MatrixBackend

SPECIAL = [0, 45, -45, 90, -90, 180, 1e-7, -1e-4, 135, 60, -33.3]


@pytest.mark.parametrize("backend", ["astra-matrix", "astra-2d"])
@pytest.mark.parametrize("kind", ["linear", "line", "strip"])
@pytest.mark.parametrize(("nz", "nx", "nu"), [(32, 32, 32), (17, 40, 45), (40, 17, 30)])
def test_a_slice_projects_as_with_astras_plain_parallel_geometry(backend, kind, nz, nx, nu):
    """No vectors, no shift: ASTRA's ``parallel`` with our angles, an image of rows z and columns x."""
    rng = np.random.default_rng(0)
    angles = np.deg2rad(np.linspace(-63.1, 64.7, 20))
    image = rng.random((nz, nx), np.float32)
    rays, grid = astra.create_proj_geom("parallel", 1.0, nu, angles), astra.create_vol_geom(nz, nx)
    projector = astra.create_projector(kind, rays, grid)
    try:
        sinogram_id, expected = astra.create_sino(image, projector)
        back_id, back = astra.create_backprojection(expected, projector)
    finally:
        astra.projector.delete(projector)
    astra.data2d.delete([sinogram_id, back_id])
    A = Projector(Geometry(angles, (nz, 1, nx), (1, nu)), "cpu", kind, backend)
    result = A(image[:, None, :])[:, 0]
    assert np.linalg.norm(result - expected) < 1e-5 * np.linalg.norm(expected)
    result = A.T(expected[:, None, :])[:, 0]
    assert np.linalg.norm(result - back) < 1e-5 * np.linalg.norm(back)


def assert_same_matrix(geometry):
    nz, _, nx = geometry.shape
    ours = linear_kernel.build_matrix(vectors_2d(geometry, 0), nz, nx, geometry.detector[1])
    theirs = export_matrix("linear", *slice_geometries(geometry, 0))
    assert ours.shape == theirs.shape
    assert (ours.dtype, ours.indices.dtype, ours.indptr.dtype) == (np.float32, np.int32, np.int32)
    difference = abs(ours - theirs)
    assert difference.nnz == 0 or difference.max() < 1e-4


@pytest.mark.parametrize("degrees", SPECIAL)
@pytest.mark.parametrize(
    ("nz", "nx", "nu"), [(8, 8, 8), (9, 9, 9), (7, 12, 12), (12, 7, 10), (1, 9, 9), (9, 1, 3), (20, 64, 64)]
)
def test_the_linear_kernel_is_astras_entry_by_entry(degrees, nz, nx, nu):
    assert_same_matrix(Geometry(np.deg2rad([degrees]), (nz, 1, nx), (1, nu)))


@settings(max_examples=60, deadline=None)
@given(
    degrees=st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(-180, 180)), min_size=1, max_size=4),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 24)),
    offset=st.floats(-3, 3),
)
def test_the_linear_kernel_is_astras_for_any_centre(degrees, size, offset):
    nz, nx, nu = size
    center = np.clip(nu / 2 + offset, -nu / 2, 1.5 * nu)
    assert_same_matrix(Geometry(np.deg2rad(degrees), (nz, 1, nx), (1, nu), center))


def test_threads_build_the_same_matrix():
    vectors = vectors_2d(Geometry(np.deg2rad(np.linspace(-70, 70, 30)), (16, 1, 24)), 0)
    one, four = (linear_kernel.build_matrix(vectors, 16, 24, 24, threads=n) for n in (1, 4))
    assert (one != four).nnz == 0


@settings(max_examples=60, deadline=None)
@given(
    degrees=st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(-180, 180)), min_size=1, max_size=6),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24), st.integers(1, 30)),
)
def test_the_cost_is_never_less_than_the_matrix_takes(degrees, size):
    nz, nx, nu = size
    geometry = Geometry(np.deg2rad(degrees), (nz, 1, nx), (1, nu))
    entries = linear_kernel.build_matrix(vectors_2d(geometry, 0), nz, nx, nu).nnz
    assert MatrixBackend.cost(geometry, "linear").bytes >= entries * BYTES_PER_ENTRY


@pytest.mark.parametrize("kind", ["linear", "line", "strip"])
@pytest.mark.parametrize(("nz", "nx"), [(32, 32), (24, 64), (61, 61)])
@pytest.mark.parametrize("limit", [60, 70, 90])
def test_the_cost_of_a_tilt_series_is_close(kind, nz, nx, limit):
    geometry = Geometry(np.deg2rad(np.linspace(-limit, limit, 41)), (nz, 1, nx))
    entries = export_matrix(kind, *slice_geometries(geometry, 0)).nnz
    assert 1 <= MatrixBackend.cost(geometry, kind).bytes / (entries * BYTES_PER_ENTRY) <= 1.3


@pytest.mark.parametrize("center", [15.0, 16.0, 18.3])
def test_the_vectors_in_three_dimensions_send_a_point_where_the_conventions_say(center):
    """ASTRA's own ``projectPoint`` works without a GPU; its 3-D axes all grow with the index, and y is the axis of rotation."""
    rng = np.random.default_rng(0)
    shifts = np.stack([np.zeros(7), rng.uniform(-2, 2, 7)], axis=1)
    geometry = Geometry(np.deg2rad([-90, -60, -20, 0, 33, 45, 120]), (12, 9, 32), (9, 32), center, shifts)
    rays = astra.create_proj_geom("parallel3d_vec", 9, 32, vectors_3d(geometry, 0))
    for X, Y, Z in rng.uniform(-5, 5, (5, 3)):
        for i, angle in enumerate(geometry.angles):
            column, row = astra.experimental.projectPoint(rays, X, Y, Z, i)
            u = X * np.cos(angle) - Z * np.sin(angle)
            assert column == pytest.approx(u + center - 0.5 + shifts[i, 1], abs=1e-5)
            assert row == pytest.approx(Y + (9 - 1) / 2, abs=1e-5)


def test_the_vectors_in_two_and_three_dimensions_describe_the_same_rays():
    geometry = Geometry(np.deg2rad([-90, -60, 0, 33, 120]), (12, 9, 32), center=17.3, shifts=np.tile([0, 0.7], (5, 1)))
    flat, deep = vectors_2d(geometry, 0), vectors_3d(geometry, 0)
    # ASTRA's 2-D y axis points up, against z
    for two, three in ((slice(0, 2), slice(0, 3)), (slice(2, 4), slice(3, 6)), (slice(4, 6), slice(6, 9))):
        np.testing.assert_allclose(flat[:, two], deep[:, three][:, [0, 2]] * [1, -1], atol=1e-12)
    np.testing.assert_array_equal(deep[:, 9:], np.tile([0, 1, 0], (5, 1)))
