"""The page on IMOD states how volumes of IMOD's ``tilt`` and ``trimvol`` lie against ours: its arithmetic, worked out."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from tomoprior import Geometry, Projector

ANGLES = np.deg2rad([-60.0, -25.0, 0.0, 40.0, 55.0])
SHAPE = (32, 6, 48)


def trimvol_rx(volume: np.ndarray) -> np.ndarray:
    """IMOD's rotation by -90 degrees about x: row j of section k is row ``ny - 1 - k`` of section j."""
    sections, rows, columns = volume.shape
    out = np.empty((rows, sections, columns), volume.dtype)
    for k in range(rows):
        for j in range(sections):
            out[k, j] = volume[j, rows - 1 - k]
    return out


def imod_column(row: int, column: int, angle: float) -> float:
    """Return the column in which ``tilt`` sees a point of its output slice, from 0; its own counting starts at 1."""
    nz, _, nx = SHAPE
    cos_beta, sin_beta = np.cos(angle), -np.sin(angle)
    zz, xx = row + 1 - (nz / 2 + 0.5), column + 1 - (nx / 2 + 0.5)
    return zz * sin_beta + xx * cos_beta + nx / 2 + 0.5 - 1


@pytest.mark.parametrize("place", [(22, 2, 18), (10, 4, 30)])
def test_a_point_of_imods_slices_is_seen_where_ours_is(place):
    z, y, x = place
    volume = np.zeros(SHAPE, np.float32)
    volume[z, y, x] = 1
    volume = gaussian_filter(volume, (1.5, 0, 1.5))  # the kernel of a ray is not centred on a single voxel
    seen = Projector(Geometry(ANGLES, SHAPE), "cpu")(volume)[:, y]
    columns = (seen * np.arange(SHAPE[2])).sum(1) / seen.sum(1)
    np.testing.assert_allclose(columns, [imod_column(z, x, angle) for angle in ANGLES], atol=0.02)


def test_after_trimvol_rx_imods_volume_is_ours_with_the_hand_flipped():
    volume = np.random.default_rng(1).random(SHAPE, dtype=np.float32)
    rotated = trimvol_rx(volume.swapaxes(0, 1))  # IMOD's volume before it: sections along y
    np.testing.assert_array_equal(rotated, volume[::-1])
    geometry = Geometry(ANGLES, SHAPE)
    projections = Projector(geometry, "cpu")(volume)
    np.testing.assert_allclose(Projector(geometry.flipped_hand(), "cpu")(rotated), projections, rtol=1e-3)


def test_trimvol_rx_turns_our_volume_away_from_its_planes():
    volume = np.random.default_rng(2).random(SHAPE, dtype=np.float32)
    assert trimvol_rx(volume).shape == (6, 32, 48)
