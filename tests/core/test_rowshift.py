"""Shifts along the rotation axis: what moves where, and the exact transpose."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tomoprior import Geometry, Projector, methods
from tomoprior.projector import rowshift


def geometry(dy, ny=7):
    return Geometry(np.zeros(len(dy)), (2, ny, 3), shifts=np.stack([dy, np.zeros(len(dy))], axis=1))


@settings(max_examples=50, deadline=None)
@given(dy=st.lists(st.floats(-12, 12), min_size=1, max_size=4), ny=st.integers(1, 8), seed=st.integers(0, 99))
def test_the_adjoint_is_exact(dy, ny, seed):
    if not any(dy):
        dy[0] = 0.5
    g = geometry(dy, ny)
    generator = torch.Generator().manual_seed(seed)
    x, y = (torch.randn(2, len(dy), ny, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    left, right = (rowshift.forward(x, g) * y).sum(), (x * rowshift.adjoint(y, g)).sum()
    assert abs(float(left - right)) < 1e-12 * float(x.norm() * y.norm())


def test_whole_rows_move_and_nothing_wraps_around():
    x = torch.arange(7.0).add(1).view(1, 1, 7, 1).repeat(1, 4, 1, 3)
    moved = rowshift.forward(x, geometry([2.0, -3.0, 7.0, -9.0]))[0, :, :, 0]
    assert moved[0].tolist() == [0, 0, 1, 2, 3, 4, 5]
    assert moved[1].tolist() == [4, 5, 6, 7, 0, 0, 0]
    assert not moved[2:].any()


@pytest.mark.parametrize("dy", [0.25, -0.25, 1.75, -1.6])
def test_a_fraction_of_a_row_moves_the_centroid_by_that_much(dy):
    x = torch.zeros(1, 1, 11, 3)
    x[:, :, 5] = 2.0
    moved = rowshift.forward(x, geometry([dy], 11))[0, 0, :, 1]
    assert float(moved.sum()) == pytest.approx(2.0)
    assert float((moved * torch.arange(11)).sum() / moved.sum()) == pytest.approx(5 + dy)


def test_the_argument_stays_as_it_is():
    x = torch.rand(1, 2, 7, 3)
    before = x.clone()
    rowshift.forward(x, geometry([1.5, -0.5]))
    rowshift.adjoint(x, geometry([1.5, -0.5]))
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", ["wbp", "fourier"])
def test_slices_near_the_ends_are_as_bright_as_the_others(name):
    """A rod along y, every other tilt moved along it: the specimen extends beyond the detector, and the slices too."""
    angles = np.deg2rad(np.arange(-80, 81, 4))
    shifts = np.zeros((len(angles), 2))
    shifts[::2, 0] = 2.5
    geometry = Geometry(angles, (24, 10, 24), shifts=shifts)
    u = np.arange(24) - 11.5
    rod = 2 * np.sqrt(np.clip(36 - u**2, 0, None)).astype(np.float32)
    projections = torch.from_numpy(np.broadcast_to(rod, geometry.range_shape).copy())
    method = methods.get(name)
    volume = method.reconstruct(projections, Projector(geometry, "cpu"), method.Settings()).volume
    np.testing.assert_allclose(volume[12, :, 12].numpy(), float(volume[12, 5, 12]), rtol=1e-3)


def test_undo_moves_rows_back():
    shifts = np.array([[2.0, 0], [-1.25, 0]])
    geometry = Geometry([0.0, 0.1], (4, 12, 4), shifts=shifts)
    ramp = torch.arange(12.0)[:, None].expand(12, 4)
    moved = torch.stack([ramp - 2.0, ramp + 1.25])  # row r shows what belongs to row r - dy
    back = rowshift.undo(moved, geometry)
    torch.testing.assert_close(back[:, 3:9], ramp[3:9].expand(2, 6, 4))
