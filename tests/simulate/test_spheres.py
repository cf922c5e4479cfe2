"""The phantom's exact projections against the projector on its supersampled volume."""

import numpy as np
import pytest
from skimage.registration import phase_cross_correlation

from tomoprior import Geometry, Projector
from tomoprior.errors import InputError
from tomoprior.simulate import Spheres

ANGLES = np.deg2rad([-90, -62, -45, -17, 0, 30, 45, 71.5, 90])
SHAPE = (32, 20, 40)
# walls of several voxels: thinner ones differ by what the projector's kernel does to them, not by where they lie
PHANTOM = Spheres.random(SHAPE, radius=(6, 9), wall=0.5, seed=1)


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"center": 21.37},
        {"center": np.linspace(19, 21.5, 20)},
        {"shifts": np.random.default_rng(0).uniform(-2, 2, (9, 2)) * [0, 1]},
        # whole rows: the phantom moves by a fraction exactly, the projector by interpolation between rows
        {"shifts": np.random.default_rng(1).integers(-3, 4, (9, 2)) * 1.0},
        {"detector": (20, 49), "center": 26.2},
    ],
    ids=["plain", "centre", "centres", "shifts", "shifts along y", "wide"],
)
def test_exact_projections_and_the_projector_agree(change):
    geometry = Geometry(ANGLES, SHAPE, **{"detector": (20, 44), **change})
    exact = PHANTOM.project(geometry)
    found = Projector(geometry, "cpu")(PHANTOM.volume(SHAPE, supersample=5))
    assert exact.shape == found.shape == geometry.range_shape
    assert exact.dtype == np.float32
    for i in range(geometry.n_angles):
        assert np.corrcoef(exact[i].ravel(), found[i].ravel())[0, 1] > 0.995
        displacement = phase_cross_correlation(exact[i], found[i], upsample_factor=100, normalization=None)[0]
        assert np.abs(displacement).max() <= 0.05
    assert np.corrcoef(exact.ravel(), found.ravel())[0, 1] > 0.999
    # values too, not only their pattern
    assert np.sum(exact * found) / np.sum(exact**2) == pytest.approx(1, abs=0.01)


def test_a_full_sphere_projects_to_its_chords_at_any_angle():
    ball = Spheres(np.array([[0.0, 0.0, 0.0]]), np.array([6.0]), np.array([0.0]), np.array([2.0]))
    p = ball.project(Geometry([-1.0, 0.0, 2.0], (15, 15, 15)), supersample=9)
    np.testing.assert_allclose(p[0], p[1], atol=1e-6)
    np.testing.assert_allclose(p[2], p[1], atol=1e-6)
    assert p[1, 7, 7] == pytest.approx(2 * 12, rel=0.005)
    np.testing.assert_allclose(p.sum((1, 2)), 2 * 4 / 3 * np.pi * 216, rtol=2e-3)
    assert ball.volume((15, 15, 15), 9).sum() == pytest.approx(2 * 4 / 3 * np.pi * 216, rel=2e-3)


def test_random_spheres_lie_apart_inside_the_grid_and_repeat():
    again = Spheres.random(SHAPE, radius=(6, 9), wall=0.5, seed=1)
    np.testing.assert_array_equal(again.centers, PHANTOM.centers)
    assert not np.array_equal(Spheres.random(SHAPE, radius=(6, 9), wall=0.5, seed=2).centers[0], PHANTOM.centers[0])
    reach = np.abs(PHANTOM.centers) + PHANTOM.outer[:, None]
    assert np.all(reach <= np.array(SHAPE) / 2 + 1e-9)
    for i in range(len(PHANTOM.outer)):
        for j in range(i):
            distance = np.linalg.norm(PHANTOM.centers[i] - PHANTOM.centers[j])
            assert distance > PHANTOM.outer[i] + PHANTOM.outer[j]
    volume = PHANTOM.volume(SHAPE)
    assert volume.min() == 0
    assert volume.max() == 1


def test_spheres_that_do_not_fit_are_refused():
    for radius in ((0, 2), (5, 2), (13, 14)):
        with pytest.raises(InputError, match="do not fit"):
            Spheres.random(SHAPE, radius=radius)
