"""The projector without a matrix: ASTRA's numbers, an exact transpose, the same bits in any company."""

import astra
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior import Geometry, Projector
from tomoprior.adapters.numba import lane_blocks, vectors
from tomoprior.errors import BackendError
from tomoprior.methods.classical import backprojection
from tomoprior.projector import backends
from tomoprior.testing import check_projector

ANGLES = np.deg2rad(np.linspace(-63.1, 64.7, 20))
KERNELS = ["vectors", "lanes"] if vectors.WIDTH else ["lanes"]
SPECIAL = [0, 45, -45, 90, -90, 180, 1e-7, -1e-4, 135, 60, -33.3]


@pytest.fixture(params=KERNELS, autouse=True, scope="module")
def kernel(request):
    """Run all tests with both kernels: without the vectors of this processor, its lanes are used."""
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "lanes":
            patch.setattr(vectors, "WIDTH", 0)
        yield request.param


@pytest.mark.parametrize(("nz", "nx", "nu"), [(32, 32, 32), (17, 40, 45), (40, 17, 30), (1, 9, 9), (9, 1, 3)])
def test_a_slice_projects_as_with_astras_plain_parallel_geometry(nz, nx, nu):
    rng = np.random.default_rng(0)
    image = rng.random((nz, nx), np.float32)
    rays, grid = astra.create_proj_geom("parallel", 1.0, nu, ANGLES), astra.create_vol_geom(nz, nx)
    projector = astra.create_projector("linear", rays, grid)
    try:
        sinogram_id, expected = astra.create_sino(image, projector)
        back_id, back = astra.create_backprojection(expected, projector)
    finally:
        astra.projector.delete(projector)
    astra.data2d.delete([sinogram_id, back_id])
    A = Projector(Geometry(ANGLES, (nz, 1, nx), (1, nu)), "cpu", backend="numba")
    assert np.linalg.norm(A(image[:, None, :])[:, 0] - expected) < 1e-5 * np.linalg.norm(expected)
    assert np.linalg.norm(A.T(expected[:, None, :])[:, 0] - back) < 1e-5 * np.linalg.norm(back)


@settings(max_examples=60, deadline=None)
@given(
    degrees=st.lists(st.one_of(st.sampled_from(SPECIAL), st.floats(-180, 180)), min_size=1, max_size=4),
    size=st.tuples(st.integers(1, 20), st.integers(1, 20), st.integers(1, 24)),
    offset=st.floats(-30, 30),
)
def test_any_geometry_gives_the_matrix_numbers(degrees, size, offset):
    nz, nx, nu = size
    geometry = Geometry(np.deg2rad(degrees), (nz, 2, nx), (2, nu), np.clip(nu / 2 + offset, -nu / 2, 1.5 * nu))
    ours, matrix = (Projector(geometry, "cpu", backend=b) for b in ("numba", "astra-matrix"))
    rng = np.random.default_rng(1)
    x, y = rng.random(geometry.domain_shape, np.float32), rng.random(geometry.range_shape, np.float32)
    for found, expected in ((ours(x), matrix(x)), (ours.T(y), matrix.T(y))):
        assert np.linalg.norm(found - expected) <= 1e-5 * max(1e-3, np.linalg.norm(expected))


@pytest.mark.parametrize(
    "geometry",
    [
        Geometry(ANGLES, (12, 3, 18)),
        Geometry(ANGLES, (12, 3, 18), (3, 23), center=[10.2, 12.0, 12.7]),
        Geometry(ANGLES, (12, 3, 18), shifts=np.linspace(-2, 2, 40).reshape(20, 2)),
        Geometry(np.deg2rad([90]), (12, 3, 18)),
    ],
    ids=["plain", "a centre for each slice", "shifts", "rays along x only"],
)
def test_it_is_a_projector(geometry):
    check_projector(Projector(geometry, "cpu", backend="numba"))


def test_a_slice_has_the_same_bits_whatever_slices_are_with_it():
    ny = 2 * lane_blocks.LANES + 7
    geometry = Geometry(ANGLES, (16, ny, 24), (ny, 27), center=13.1)
    x = torch.rand(geometry.domain_shape, generator=torch.Generator().manual_seed(0))
    whole = Projector(geometry, "cpu", backend="numba")
    y, back = whole(x), whole.T(whole(x))
    for first, last in ((0, 1), (3, 5), (7, 7 + lane_blocks.LANES), (1, ny - 1), (ny - 3, ny)):
        part = Projector(geometry.rows(first, last), "cpu", backend="numba")
        assert torch.equal(part(x[:, first:last]), y[:, first:last])
        assert torch.equal(part.T(y[:, first:last]), back[:, first:last])


def test_threads_change_no_bit():
    geometry = Geometry(ANGLES, (31, 5, 40))
    A = Projector(geometry, "cpu", backend="numba")
    x = torch.rand(A.domain_shape, generator=torch.Generator().manual_seed(0))
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 5):
            torch.set_num_threads(threads)
            found.append((A(x), A.T(A(x))))
    finally:
        torch.set_num_threads(before)
    for forward, back in found[1:]:
        assert torch.equal(forward, found[0][0])
        assert torch.equal(back, found[0][1])


@given(st.integers(1, 200))
def test_blocks_hold_every_slice_once_and_waste_at_most_a_quarter(count):
    blocks = list(lane_blocks.cut_blocks(count))
    assert [i for begin, end in blocks for i in range(begin, end)] == list(range(count))
    for begin, end in blocks:
        lanes = lane_blocks.count_lanes(end - begin)
        assert lanes in (1, 2, 4, 8, 16)
        assert 3 * lanes <= 4 * (end - begin) <= 4 * lanes


@pytest.mark.skipif(not vectors.WIDTH, reason="this processor has no instructions for it")
@pytest.mark.parametrize(
    ("nz", "nx", "nu", "center"), [(33, 40, 45, 21.3), (5, 61, 20, 4.0), (40, 7, 50, None), (1, 1, 1, None)]
)
def test_voxels_look_up_the_detector_as_with_tables(nz, nx, nu, center, kernel):
    if kernel == "lanes":
        pytest.skip("lanes have no voxel-driven back-projection")
    geometry = Geometry(np.deg2rad(SPECIAL), (nz, 3, nx), (3, nu), center)
    projections = torch.rand(geometry.range_shape, generator=torch.Generator().manual_seed(0))
    found, expected = backends.interpolate(projections, geometry), backprojection._multiply_tables(projections, geometry)
    assert float((found - expected).norm()) < 1e-6 * float(expected.norm())


@pytest.mark.parametrize("order", [(0, 2, 1), (2, 1, 0), (1, 0, 2)])
def test_memory_layout_changes_no_bit(order):
    geometry = Geometry(ANGLES, (35, 3, 40))
    A = Projector(geometry, "cpu", backend="numba")
    x = torch.rand(A.domain_shape, generator=torch.Generator().manual_seed(0))
    assert torch.equal(A(x.permute(order).contiguous().permute(order)), A(x))
    y = A(x)
    assert torch.equal(A.T(y.permute(order).contiguous().permute(order)), A.T(y))


def test_other_kernels_are_refused():
    with pytest.raises(BackendError, match="linear kernel only"):
        Projector(Geometry(ANGLES, (8, 2, 8)), "cpu", "strip", "numba")
