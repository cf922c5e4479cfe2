"""Misalignment of a geometry, with numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.simulate.misalignment import misalign_geometry

NOMINAL = Geometry(np.deg2rad(np.arange(-40.0, 41.0, 20)), (8, 4, 16), center=7.5)
NOTHING = {"shift_std": 0.0, "drift": (0.0, 0.0), "angle_std": 0.0, "axis_offset": 0.0}


def misaligned(seed: int = 0, **changes: object) -> Geometry:
    return misalign_geometry(NOMINAL, np.random.default_rng(seed), **{**NOTHING, **changes})


def test_without_errors_the_geometry_is_the_nominal_one():
    assert misaligned() == NOMINAL
    assert misaligned().shifts is None


def test_a_drift_is_linear_and_zero_in_the_middle():
    expected = np.outer([-0.5, -0.25, 0.0, 0.25, 0.5], [4.0, -2.0])
    np.testing.assert_allclose(misaligned(drift=(4.0, -2.0)).shifts, expected)


def test_a_single_tilt_does_not_drift():
    single = misalign_geometry(NOMINAL.select([2]), np.random.default_rng(0), **{**NOTHING, "drift": (4.0, -2.0)})
    assert single.shifts is None


def test_the_axis_moves_by_its_offset_in_every_slice():
    np.testing.assert_array_equal(misaligned(axis_offset=1.25).center, np.full(4, 8.75))


def test_twice_the_deviation_gives_twice_the_same_errors():
    one, two = misaligned(shift_std=0.5, angle_std=0.01), misaligned(shift_std=1.0, angle_std=0.02)
    np.testing.assert_allclose(two.shifts, 2 * one.shifts)
    np.testing.assert_allclose(two.angles - NOMINAL.angles, 2 * (one.angles - NOMINAL.angles))


def test_shifts_do_not_change_when_angles_have_errors_too():
    np.testing.assert_array_equal(misaligned(shift_std=1.0, angle_std=0.1).shifts, misaligned(shift_std=1.0).shifts)


@pytest.mark.parametrize("axis", [0, 1])
def test_jitter_has_the_standard_deviation_along_both_axes(axis):
    wide = Geometry(np.linspace(-1, 1, 4000), (8, 4, 16))
    shifts = misalign_geometry(wide, np.random.default_rng(1), **{**NOTHING, "shift_std": 3.0}).shifts
    assert np.std(shifts[:, axis]) == pytest.approx(3.0, rel=0.05)
