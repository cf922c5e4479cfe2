"""The support that projections allow: a superset of the object, close to it, in parallel and fan beams."""

import numpy as np
import pytest

from tomoprior import FanGeometry, Geometry, Projector, TiltSeries, support_from_projections
from tomoprior.errors import InputError
from tomoprior.series.support import fit_disc

ANGLES = np.deg2rad(np.arange(-30.0, 31.0, 3.0))
GEOMETRIES = {
    "parallel": Geometry(ANGLES, (64, 1, 64), center=31.2),
    "fan": FanGeometry(ANGLES, (64, 1, 64), (1, 96), center=47.1, source_distance=120, detector_distance=60, pixel_size=1.4),
}


def image(inside):
    fine = (np.arange(64 * 4) + 0.5) / 4 - 32
    return inside(fine[:, None], fine[None, :]).reshape(64, 4, 64, 4).mean((1, 3))[:, None].astype(np.float32)


@pytest.fixture(params=GEOMETRIES)
def geometry(request):
    return GEOMETRIES[request.param]


def series_of(volume, geometry, noise=0.0):
    data = Projector(geometry, "cpu")(volume)
    return TiltSeries(data + noise * np.random.default_rng(0).normal(size=data.shape), geometry)


@pytest.mark.parametrize("noise", [0.0, 0.3])
def test_the_hull_holds_the_object_and_leaves_out_what_no_tilt_allows(geometry, noise):
    volume = image(lambda z, x: (np.abs(z) < 12) & (np.abs(x + 5) < 8))
    mask = support_from_projections(series_of(volume, geometry, noise))
    assert mask.shape == geometry.shape
    assert mask.dtype == bool
    assert mask[volume > 0].all()
    # at height 0 the object ends at x = 3 and at -13, and the rays at 30 degrees leave two voxels more
    assert not mask[32, 0, 32 + 7 :].any()
    assert not mask[32, 0, : 32 - 13 - 5].any()


def test_the_disc_is_found_from_a_range_of_sixty_degrees(geometry):
    volume = image(lambda z, x: (z - 4) ** 2 + (x + 3) ** 2 <= 18**2)
    series = series_of(volume, geometry)
    disc = fit_disc(series.projections[:, 0], geometry, 4.0)
    np.testing.assert_allclose([disc.x, disc.z, disc.radius], [-3, 4, 18], atol=0.3)
    mask = support_from_projections(series, shape="disc", threshold=4.0)
    assert mask[volume > 0].all()
    assert mask.sum() < np.pi * 20**2


def test_an_object_beyond_the_detector_is_not_cut():
    geometry = GEOMETRIES["parallel"]
    volume = image(lambda z, x: (np.abs(z) < 5) & (x < 0))
    mask = support_from_projections(series_of(volume, geometry))
    assert mask[volume > 0].all()


def test_what_has_no_support_is_refused():
    geometry = GEOMETRIES["parallel"]
    empty = TiltSeries(np.zeros(geometry.range_shape), geometry)
    with pytest.raises(InputError, match="no signal above"):
        support_from_projections(empty)
    with pytest.raises(InputError, match="both edges of an object in 0 tilt"):
        support_from_projections(empty, shape="disc")
    with pytest.raises(InputError, match="shape must be hull or disc"):
        support_from_projections(empty, shape="box")
    shifted = Geometry([0.0, 0.1], (4, 2, 4), shifts=[[1, 0], [0, 0]])
    with pytest.raises(InputError, match="shifted along y"):
        support_from_projections(TiltSeries(np.ones(shifted.range_shape), shifted))
