"""The figure of an alignment: what is drawn is what was given."""

import numpy as np
import pytest

from tomoprior import plot
from tomoprior.alignment import Alignment
from tomoprior.errors import InputError

ANGLES = np.deg2rad([10.0, -10.0, 0.0])
SHIFTS = np.array([[1.0, 4.0], [2.0, 5.0], [3.0, 6.0]])


def found(**values):
    return Alignment(SHIFTS, np.deg2rad(84.0), (8, 8), **values).to_dict()


def test_shifts_and_axis_are_drawn_in_the_order_of_the_angles():
    shifts, axis = plot.alignment(found(rotations=np.deg2rad([0.5, 0.0, 0.0])), ANGLES).axes
    np.testing.assert_allclose([line.get_ydata() for line in shifts.lines], [[2, 3, 1], [5, 6, 4]])
    np.testing.assert_allclose(axis.lines[0].get_xdata(), [-10, 0, 10])
    np.testing.assert_allclose(axis.lines[0].get_ydata(), [84, 84, 84.5])


def test_residuals_before_and_after_have_a_panel_and_bad_tilts_a_mark():
    values = found(residuals_before=np.array([0.5, 0.6, 0.7]), residuals_after=np.array([0.1, 0.2, 0.3]), bad_tilts=(2,))
    top = plot.alignment(values, ANGLES).axes[0]
    np.testing.assert_allclose([line.get_ydata() for line in top.lines[:2]], [[0.6, 0.7, 0.5], [0.2, 0.3, 0.1]])
    assert [text.get_text() for text in top.texts] == ["2"]


def test_angles_of_another_series_are_refused():
    with pytest.raises(InputError, match="of 3 tilts, and there are 2"):
        plot.alignment(found(), ANGLES[:2])
