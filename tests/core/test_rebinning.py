"""Fan to parallel rays: an analytic disc, an off-centre point, limited ranges, refusals."""

import numpy as np
import pytest

from tomoprior import FanGeometry, Geometry, TiltSeries, rebin_fan
from tomoprior.errors import InputError

FAN = {"source_distance": 100.0, "detector_distance": 40.0, "pixel_size": 1.0}


def chords(geometry, x, z, radius):
    """The line integrals of a disc, of shape ``(n_angles, 1, nu)``."""
    index = np.tile(np.arange(float(geometry.detector[1])), (geometry.n_angles, 1))
    phi, u = geometry.parallel_coordinates(index, 0)
    return 2 * np.sqrt(np.maximum(0, radius**2 - (x * np.cos(phi) - z * np.sin(phi) - u) ** 2))[:, None]


def disc(angles, x=6.0, z=-9.0, radius=12.0, **values):
    geometry = FanGeometry(angles, (48, 1, 48), (1, 80), **{**FAN, **values})
    return TiltSeries(chords(geometry, x, z, radius).astype(np.float32), geometry)


@pytest.mark.parametrize("values", [{}, {"center": 37.3}, {"shifts": np.tile([0.0, 1.5], (360, 1))}], ids=str)
def test_a_disc_has_its_parallel_chords(values):
    series = rebin_fan(disc(np.deg2rad(np.arange(-180.0, 180.0)), **values), np.deg2rad([-180, -90.5, 0, 33.3, 90]))
    assert type(series.geometry) is Geometry
    expected = chords(series.geometry, 6.0, -9.0, 12.0)
    known = series.weights > 0
    assert known.mean() > 0.9
    error = np.where(known, series.projections - expected, 0)
    assert np.sqrt(np.mean(error**2)) < 0.01 * expected.max()


def test_an_off_centre_point_appears_where_the_parallel_beam_has_it():
    """Its centre of mass on the detector is X cos - Z sin."""
    series = rebin_fan(disc(np.deg2rad(np.arange(0.0, 360.0, 0.5)), 14.0, 5.0, 5.0), np.deg2rad(np.arange(0, 180, 7.0)))
    u = np.arange(series.geometry.detector[1]) + 0.5 - series.geometry.detector[1] / 2
    at = (series.projections[:, 0] * u).sum(1) / series.projections[:, 0].sum(1)
    phi = series.geometry.angles
    np.testing.assert_allclose(at, 14 * np.cos(phi) - 5 * np.sin(phi), atol=0.1)


def test_rays_outside_a_limited_range_have_no_weight():
    """The parallel ray (phi, u) needs the fan's tilt at phi + asin(u / R), which lies in 0..60 degrees or was not measured."""
    series = rebin_fan(disc(np.deg2rad(np.arange(0.0, 60.5, 0.5))))
    u = np.arange(series.geometry.detector[1]) + 0.5 - series.geometry.detector[1] / 2
    theta = series.geometry.angles[:, None] + np.arcsin(u / 100)
    inner = np.abs(u) < u.max() - 2
    expected = (theta >= 0) & (theta <= np.deg2rad(60))
    assert np.array_equal((series.weights[:, 0] > 0)[:, inner], expected[:, inner])
    assert not series.projections[series.weights == 0].any()


def test_nothing_is_interpolated_across_a_gap_or_from_a_tilt_without_weight():
    angles = np.deg2rad(np.concatenate([np.arange(-60.0, -20), np.arange(20.0, 60)]))
    series = rebin_fan(disc(angles), np.deg2rad([0.0, 40.0]))
    middle = series.geometry.detector[1] // 2
    assert series.weights[0, 0, middle] == 0
    assert series.weights[1, 0, middle] == 1
    whole = disc(np.deg2rad(np.arange(-60.0, 61)))
    weights = np.ones(121, np.float32)
    weights[60] = 0
    bad = TiltSeries(np.where(weights[:, None, None] > 0, whole.projections, np.nan), whole.geometry, weights)
    turned = rebin_fan(bad, [0.0])
    assert np.isfinite(turned.projections).all()
    near = np.abs(turned.projections - rebin_fan(whole, [0.0]).projections)[turned.weights > 0]
    assert near.max() < 0.1 * whole.projections.max()


def test_what_cannot_be_rebinned_is_refused():
    with pytest.raises(InputError, match="parallel beam already"):
        rebin_fan(TiltSeries(np.ones((2, 1, 4)), Geometry([0, 0.1], (4, 1, 4))))
    with pytest.raises(InputError, match="too few rays"):
        rebin_fan(disc([0.1]))
    shifted = FanGeometry([0.0, 0.1], (4, 2, 4), shifts=[[1, 0], [0, 0]], **FAN)
    with pytest.raises(InputError, match="shifted along y"):
        rebin_fan(TiltSeries(np.ones(shifted.range_shape), shifted))
