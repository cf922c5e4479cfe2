"""Curves: what is drawn is what was given, crossings and resolutions are the metric's own."""

import numpy as np
import pytest
import torch

from tomoprior import plot
from tomoprior.errors import InputError
from tomoprior.metrics import FSC, directional_fsc

FREQUENCY = np.arange(1, 11) / 20


def curve(values):
    return FSC(FREQUENCY, np.asarray(values, float), np.full(10, 100.0))


FALLING = curve(np.linspace(1, 0.1, 10))
HIGH = curve(np.full(10, 0.9))
EMPTY = curve(np.full(10, np.nan))


def legend(axes):
    return [t.get_text() for t in axes.get_legend().get_texts()]


def markers(axes):
    return [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines if line.get_marker() == "o"]


def test_curves_are_drawn_and_their_crossings_marked():
    (axes,) = plot.fsc({"tv": FALLING, "cn": HIGH, "none": EMPTY}).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), FREQUENCY)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), FALLING.correlation)
    at = FALLING.crossing(0.5)
    assert markers(axes) == [(at, 0.5)]  # of a curve that stays above, or has no value, there is none
    assert legend(axes) == [f"tv: {1 / at:.3g} voxels", "cn: nowhere", "none: no value"]


def test_resolution_is_in_the_unit_on_a_second_axis():
    (axes,) = plot.fsc({"tv": FALLING}, threshold=0.143, voxel_size=2.0, unit="nanometer").axes
    at = FALLING.crossing(0.143)
    assert markers(axes) == [(at, 0.143)]
    assert legend(axes) == [f"tv: {2 / at:.3g} nm"]
    (above,) = axes.child_axes
    assert above.get_xlabel() == "resolution (nm)"
    ticks = dict(zip(above.get_xticks(), [t.get_text() for t in above.get_xticklabels()], strict=True))
    assert ticks[0.5] == "4"
    assert ticks[0.1] == "20"
    assert axes.get_xlim() == (0, 0.5)


def test_present_and_missing_have_a_panel_each():
    rng = np.random.default_rng(0)
    a, b = rng.random((2, 8, 12, 16))
    found = directional_fsc(a, b, np.deg2rad(np.arange(-60, 61, 10)))
    left, right = plot.fsc({"tv": found, "self": {"present": HIGH, "missing": FALLING}}).axes
    assert (left.get_title(), right.get_title()) == ("measured", "not measured")
    np.testing.assert_array_equal(left.lines[0].get_ydata(), found["present"].correlation)
    np.testing.assert_array_equal(right.lines[0].get_ydata(), found["missing"].correlation)
    assert "self: nowhere" in legend(left)
    assert f"self: {1 / FALLING.crossing():.3g} voxels" in legend(right)


def test_a_negative_correlation_is_not_cut_off():
    low = curve(np.linspace(1, -0.6, 10))
    (axes,) = plot.fsc({"a": low}).axes
    assert axes.get_ylim()[0] < -0.6
    # two panels share an axis, which holds the curves of both
    for panels in ({"present": low, "missing": HIGH}, {"present": HIGH, "missing": low}):
        assert plot.fsc({"a": panels}).axes[0].get_ylim()[0] < -0.6


@pytest.mark.parametrize(
    ("curves", "options", "message"),
    [
        ({}, {}, "one at least"),
        (FALLING, {}, "must be a mapping"),
        ({"a": FALLING, "b": {"present": HIGH, "missing": HIGH}}, {}, "a: either all curves are FSC, or all"),
        ({"a": {"present": HIGH}}, {}, "either all curves"),
        ({"a": [1, 2]}, {}, "either all curves"),
        ({"a": FALLING}, {"threshold": 1.5}, "between 0 and 1"),
        ({"a": FALLING}, {"voxel_size": 2.0}, "given together"),
        ({"a": FALLING}, {"voxel_size": -2.0, "unit": "nanometer"}, "positive number"),
        ({"a": FALLING}, {"voxel_size": 2.0, "unit": "inch"}, "unit must be one of"),
    ],
)
def test_wrong_curves_are_said_in_a_line(curves, options, message):
    with pytest.raises(InputError, match=message) as caught:
        plot.fsc(curves, **options)
    assert "\n" not in str(caught.value)


ANGLES = np.deg2rad([30.0, -60.0, 0.0, 60.0])  # as they were recorded, not sorted


def test_residuals_stand_over_degrees_in_order():
    (axes,) = plot.residuals({"tv": [0.3, 0.6, 0.1, 0.5], "cn": torch.tensor([0.2, 0.2, 0.2, 0.2])}, ANGLES).axes
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [-60, 0, 30, 60])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.6, 0.1, 0.3, 0.5])
    assert [t.get_text() for t in axes.get_legend().get_texts()] == ["tv", "cn"]
    assert axes.get_ylim()[0] == 0
    assert axes.get_xlabel() == "tilt angle (degrees)"


def test_outliers_are_marked_with_their_numbers():
    (axes,) = plot.residuals([0.3, 0.6, 0.1, 0.5], ANGLES, outliers=[1]).axes
    assert [float(band.get_xdata()[0]) for band in axes.lines[1:]] == [pytest.approx(-60)]
    assert [t.get_text() for t in axes.texts] == ["1"]
    assert axes.get_legend() is None
    # a tilt that was left out has no residual, and hides no other
    assert plot.residuals([0.3, np.nan, 0.1, 0.5], ANGLES, outliers=[1]).axes[0].get_ylim()[1] > 0.5
    assert not plot.residuals([0.3, 0.6, 0.1, 0.5], ANGLES, outliers=[]).axes[0].texts


@pytest.mark.parametrize(
    ("values", "angles", "outliers", "message"),
    [
        ([0.1, 0.2], [0.0], None, "2 values for 1 angles"),
        ({"tv": [0.1]}, [0.0, 0.1], None, "tv: 1 values for 2 angles"),
        ([0.1, 0.2], [-60, 60], None, "are these degrees"),
        ([0.1, 0.2], [np.nan, 0], None, "finite radians"),
        ({}, [0.0], None, "no residuals to show"),
        ([0.1, -0.2], [0.0, 0.1], None, "not negative"),
        ({"tv": [np.nan, np.nan]}, [0.0, 0.1], None, "tv: no value is finite"),
        ([[0.1], [0.2]], [0.0, 0.1], None, "need shape"),
        (["a"], [0.0], None, "must be numbers"),
        ([0.1, 0.2], [0.0, 0.1], [2], "tilt 2 does not exist: there are 2"),
        ([0.1, 0.2], [0.0, 0.1], [-1], "tilt -1 does not exist"),
        ([0.1, 0.2], [0.0, 0.1], [True, False], "list of whole numbers"),
    ],
)
def test_wrong_residuals_are_said_in_a_line(values, angles, outliers, message):
    with pytest.raises(InputError, match=message) as caught:
        plot.residuals(values, angles, outliers=outliers)
    assert "\n" not in str(caught.value)
