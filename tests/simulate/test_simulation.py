"""The simulated series: against exact projections, against the projector, and its noise and errors as asked."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from tomoprior import Geometry, Projector, TiltSeries, reconstruct
from tomoprior.errors import GeometryError, InputError, SettingsError, UnknownNameError
from tomoprior.simulate import Phantom, Spheres, get_phantom, simulate
from tomoprior.simulate.bodies import Bodies, Body
from tomoprior.simulate.exposure import project_scene
from tomoprior.simulate.solids import Ball

ANGLES = np.deg2rad(np.arange(-60, 61, 10))
SHAPE = (24, 20, 40)


class Dot(Phantom):
    """A small ball off every axis: where it is seen tells every sign."""

    name: ClassVar[str] = "dot"
    summary: ClassVar[str] = "a ball"
    lowpass: float = 0.0

    def scene(self, shape, *, seed=0, voxel_size=None):
        body = Body(Ball(2.5), np.array([6.0, -4.0, 9.0]))
        return Bodies([body], shape, self.lowpass, voxel_size or 1.0, self.unit)


def exact(scene):
    """The same spheres as the class that projects them in closed form."""
    solids = [body.solid for body in scene.bodies]
    centers = np.array([body.center for body in scene.bodies])
    radii = [np.array([getattr(s, name) for s in solids]) for name in ("radius", "inner")]
    return Spheres(centers, *radii, np.ones(len(solids)))


def displacement(found, expected):
    """(dy, du) in pixels from ``expected`` to ``found``, by least squares over all tilts."""
    _, dy, du = np.gradient(expected.astype(np.float64))
    slopes = np.stack([-dy.ravel(), -du.ravel()], axis=1)
    return np.linalg.lstsq(slopes, (found - expected).ravel().astype(np.float64), rcond=None)[0]


@pytest.mark.parametrize("supersample", [2, 3])
@pytest.mark.parametrize(
    "errors",
    [
        {},
        {"axis_offset": 1.3},
        {"angle_std": 0.02},
        {"shift_std": 1.2},
        {"shift_std": 0.7, "drift": (3.0, -2.5), "angle_std": 0.01, "axis_offset": -0.8},
    ],
    ids=["none", "axis", "angles", "shifts", "all"],
)
def test_projections_are_the_exact_ones(errors, supersample):
    phantom = get_phantom("spheres", lowpass=0, diameter=(10, 16), wall=0.5)
    made = simulate(phantom, SHAPE, ANGLES, seed=2, supersample=supersample, **errors)
    spheres = exact(phantom.scene(SHAPE, seed=2))
    expected = spheres.project(made.geometry, 5)
    found = made.series.projections
    assert found.shape == made.series.geometry.range_shape
    assert found.dtype == np.float32
    assert np.linalg.norm(found - expected) < (0.03 if supersample == 2 else 0.02) * np.linalg.norm(expected)
    assert np.abs(displacement(found, expected)).max() < 0.01
    # tilt by tilt too
    each = [np.abs(displacement(found[i : i + 1].repeat(2, 0), expected[i : i + 1].repeat(2, 0))).max() for i in range(13)]
    assert max(each) < 0.04
    assert np.linalg.norm(made.truth.volume - spheres.volume(SHAPE, 5)) < 0.08 * np.linalg.norm(made.truth.volume)


@pytest.mark.parametrize("shape", [(24, 20, 40), (23, 21, 39), (24, 15, 41), (25, 16, 40)])
@pytest.mark.parametrize("supersample", [2, 3])
def test_projecting_the_truth_gives_the_projections_in_their_places(shape, supersample):
    made = simulate("shapes", shape, ANGLES, seed=1, supersample=supersample)
    again = Projector(made.series.geometry, "cpu")(made.truth.volume)
    assert np.linalg.norm(again - made.series.projections) < 0.015 * np.linalg.norm(again)
    assert np.abs(displacement(made.series.projections, again)).max() < 0.005
    # and it is no inverse crime: not the same numbers
    assert np.linalg.norm(again - made.series.projections) > 1e-4 * np.linalg.norm(again)


@pytest.mark.parametrize("name", ["spheres", "shapes", "foam"])
def test_every_tilt_sees_all_the_mass(name):
    made = simulate(name, SHAPE, ANGLES, seed=1)
    np.testing.assert_allclose(made.series.projections.sum((1, 2)), made.truth.volume.sum(), rtol=2e-3)


def test_the_ball_is_where_the_conventions_say():
    made = simulate(Dot(), SHAPE, ANGLES, supersample=3)
    rows, columns = np.arange(20) - 9.5, np.arange(40) - 19.5
    for theta, image in zip(ANGLES, made.series.projections, strict=True):
        assert np.average(columns, weights=image.sum(0)) == pytest.approx(9 * np.cos(theta) - 6 * np.sin(theta), abs=0.02)
        assert np.average(rows, weights=image.sum(1)) == pytest.approx(-4, abs=0.02)
    places = [np.average(np.arange(n) - (n - 1) / 2, weights=made.truth.volume.sum(tuple({0, 1, 2} - {axis})))
              for axis, n in enumerate(SHAPE)]  # fmt: skip
    np.testing.assert_allclose(places, [6, -4, 9], atol=0.02)


def test_a_misaligned_ball_is_where_its_true_geometry_says():
    made = simulate(Dot(), SHAPE, ANGLES, seed=5, shift_std=1.0, drift=(2, 3), angle_std=0.05, axis_offset=0.7)
    true = made.geometry
    rows, columns = np.arange(20) - 9.5, np.arange(40) - 19.5
    for theta, (dy, dx), image in zip(true.angles, true.shifts, made.series.projections, strict=True):
        u = 9 * np.cos(theta) - 6 * np.sin(theta) + 0.7 + dx
        assert np.average(columns, weights=image.sum(0)) == pytest.approx(u, abs=0.02)
        assert np.average(rows, weights=image.sum(1)) == pytest.approx(-4 + dy, abs=0.03)
    # the series does not know; the truth lies where it lay
    assert made.series.geometry == Geometry(ANGLES, SHAPE, unit="angstrom")
    np.testing.assert_array_equal(made.truth.volume, simulate(Dot(), SHAPE, ANGLES).truth.volume)


def test_misalignment_is_as_large_as_asked():
    many = np.linspace(-1, 1, 101)
    made = simulate(Dot(), SHAPE, many, supersample=1, seed=1, shift_std=2.0, angle_std=0.01, axis_offset=1.5)
    assert made.geometry.shifts.std() == pytest.approx(2, rel=0.15)
    assert (made.geometry.angles - many).std() == pytest.approx(0.01, rel=0.2)
    assert made.geometry.center[0] == 21.5
    twice = simulate(Dot(), SHAPE, many, supersample=1, seed=1, shift_std=4.0)
    np.testing.assert_allclose(twice.geometry.shifts, 2 * made.geometry.shifts)
    drifting = simulate(Dot(), SHAPE, many, supersample=1, drift=(2.0, -4.0)).geometry.shifts
    np.testing.assert_allclose(drifting[[0, 50, -1]], [[-1, 2], [0, 0], [1, -2]], atol=1e-12)
    known = simulate(Dot(), SHAPE, many, supersample=1, shift_std=2.0, aligned=True)
    assert known.series.geometry == known.truth.geometry == known.geometry


def test_with_the_true_geometry_a_misaligned_series_reconstructs():
    errors = {"shift_std": 2.0, "angle_std": 0.02, "axis_offset": 2.0}
    blind = simulate("shapes", SHAPE, ANGLES, seed=3, **errors)
    known = simulate("shapes", SHAPE, ANGLES, seed=3, aligned=True, **errors)
    likeness = [
        np.corrcoef(reconstruct(m.series, "sirt", num_iter=60, min_constraint=0).volume.ravel(), m.truth.volume.ravel())[0, 1]
        for m in (blind, known)
    ]
    assert likeness[1] > 0.9
    assert likeness[0] < likeness[1] - 0.1


@pytest.mark.parametrize("snr", [0.5, 4.0])
def test_noise_is_as_strong_as_asked(snr):
    clean = simulate("shapes", (32, 48, 64), ANGLES, seed=1).series.projections.astype(np.float64)
    made = simulate("shapes", (32, 48, 64), ANGLES, seed=1, snr=snr)
    noise = made.series.projections - clean
    found = clean.var((1, 2)) / noise.var((1, 2))
    np.testing.assert_allclose(found, snr, rtol=0.15)  # 3072 pixels: a standard deviation is 2.5 %
    assert found.mean() == pytest.approx(snr, rel=0.03)
    np.testing.assert_allclose(made.record["noise_std"], np.sqrt(clean.var((1, 2)) / snr), rtol=1e-4)
    assert np.abs(noise.mean((1, 2)) / noise.std((1, 2))).max() < 5 / np.sqrt(3072)
    # white: neighbours know nothing of each other
    assert abs(np.corrcoef(noise[:, :, 1:].ravel(), noise[:, :, :-1].ravel())[0, 1]) < 0.03
    np.testing.assert_array_equal(made.truth.volume, simulate("shapes", (32, 48, 64), ANGLES, seed=1).truth.volume)


@pytest.mark.parametrize(("dose", "attenuation"), [(400.0, None), (2000.0, 0.1)])
def test_counts_scatter_as_poisson_does(dose, attenuation):
    clean = simulate("shapes", (32, 48, 64), ANGLES, seed=1).series.projections.astype(np.float64)
    made = simulate("shapes", (32, 48, 64), ANGLES, seed=1, dose=dose, attenuation=attenuation)
    scale = made.record["attenuation"]
    assert scale == (attenuation or pytest.approx(1 / clean.max()))
    expected = dose * np.exp(-scale * clean)
    counts = dose * np.exp(-scale * made.series.projections)
    np.testing.assert_allclose(counts, np.rint(counts), atol=0.01)  # whole particles
    assert ((counts - expected) ** 2 / expected).mean() == pytest.approx(1, abs=0.03)
    variance = 1 / (expected * scale**2)
    assert ((made.series.projections - clean) ** 2 / variance).mean() == pytest.approx(1, abs=0.05)


def test_the_record_counts_pixels_without_a_count():
    made = simulate("shapes", SHAPE, ANGLES, seed=1, dose=1.0)
    assert made.record["pixels_without_count"] > 0
    assert np.isfinite(made.series.projections).all()


def test_the_same_seed_gives_the_same_simulation():
    asked = {"snr": 1.0, "shift_std": 0.5, "angle_std": 0.01}
    first, again, other = (simulate("spheres", SHAPE, ANGLES, seed=s, **asked) for s in (1, 1, 2))
    np.testing.assert_array_equal(first.series.projections, again.series.projections)
    assert first.record == again.record
    assert first.geometry != other.geometry
    # what one draws does not change what another does
    quiet = simulate("spheres", SHAPE, ANGLES, seed=1)
    np.testing.assert_array_equal(quiet.truth.volume, first.truth.volume)


def test_a_record_is_enough_to_repeat_it():
    import json

    made = simulate("shapes", SHAPE, ANGLES, seed=4, snr=2, shift_std=1, drift=(1, 2), kinds="cube,disc", lowpass=0.5)
    record = json.loads(json.dumps(made.record))
    same = ("seed", "supersample", "snr", "shift_std", "drift", "angle_std", "axis_offset", "aligned")
    nominal = Geometry.from_dict(record["nominal_geometry"])
    again = simulate(
        record["phantom"], nominal.shape, nominal.angles, voxel_size=nominal.voxel_size,
        **{k: record[k] for k in same}, **record["settings"],
    )  # fmt: skip
    np.testing.assert_array_equal(again.series.projections, made.series.projections)
    assert Geometry.from_dict(record["true_geometry"]) == made.geometry
    assert made.truth.provenance == made.series.metadata["simulation"] == made.record


@pytest.mark.parametrize("supersample", [1, 2])
def test_slabs_of_any_size_give_the_same(supersample):
    scene = get_phantom("foam").scene(SHAPE, seed=1)
    geometry = Geometry(ANGLES, SHAPE, center=20.4, shifts=np.random.default_rng(0).normal(0, 2, (13, 2)))
    whole = project_scene(scene, geometry, supersample)
    for rows in (1, 7, 100):
        for found, expected in zip(project_scene(scene, geometry, supersample, rows=rows), whole, strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-4)


def test_foam_extends_to_where_shifted_tilts_look():
    made = simulate("foam", SHAPE, ANGLES, seed=1, shift_std=3.0)
    rows = made.series.projections.sum(2)
    assert rows.min() > 0.5 * rows.mean()


def test_progress_is_reported_and_the_result_is_a_series():
    steps = []
    made = simulate("spheres", (8, 64, 8), [0.0], progress=lambda i, n, values: steps.append((i, n)))
    assert steps
    assert steps[-1][0] == steps[-1][1]
    assert isinstance(made.series, TiltSeries)
    assert made.series.weights is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"supersample": 0}, "supersample"),
        ({"supersample": 9}, "supersample"),
        ({"snr": 0}, "snr must be a positive number"),
        ({"snr": np.nan}, "snr must be"),
        ({"snr": 1, "dose": 5}, "not both"),
        ({"dose": -3}, "dose must be"),
        ({"dose": 1e300}, "too much to count"),
        ({"attenuation": 0.1}, "attenuation needs dose"),
        ({"shift_std": -1}, "shift_std must be a number from 0"),
        ({"angle_std": np.inf}, "angle_std"),
        ({"drift": (1,)}, "drift"),
        ({"axis_offset": np.nan}, "axis_offset"),
        ({"voxel_size": 0}, "voxel_size"),
    ],
)
def test_contradicting_arguments_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        simulate("spheres", SHAPE, ANGLES, **change)


def test_wrong_names_and_geometries_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean spheres"):
        simulate("sphere", SHAPE, ANGLES)
    with pytest.raises(SettingsError, match="no setting is called 'walls'"):
        simulate("spheres", SHAPE, ANGLES, walls=1)
    with pytest.raises(SettingsError, match="settings need the name"):
        simulate(Dot(), SHAPE, ANGLES, wall=1)
    with pytest.raises(GeometryError, match="degrees"):
        simulate("spheres", SHAPE, [-60.0, 60.0])
    with pytest.raises(GeometryError, match="shape"):
        simulate("spheres", (20, 20), ANGLES)


def test_halves_have_independent_noise_and_the_series_is_their_mean():
    angles = np.deg2rad([-30, 0, 30])
    clean = simulate("shapes", (24, 64, 64), angles, seed=2).series.projections
    made = simulate("shapes", (24, 64, 64), angles, seed=2, snr=0.5, halves=True)
    a, b = (half.projections - clean for half in made.halves)
    np.testing.assert_allclose(made.series.projections, clean + (a + b) / 2, atol=1e-4)
    variance = clean.var((1, 2)) / 0.25  # each half has half the ratio
    np.testing.assert_allclose([a.var((1, 2)), b.var((1, 2))], [variance, variance], rtol=0.1)
    np.testing.assert_allclose(((a + b) / 2).var((1, 2)), clean.var((1, 2)) / 0.5, rtol=0.1)
    assert abs(np.corrcoef(a.ravel(), b.ravel())[0, 1]) < 0.03
    assert made.record["halves"] is True
    assert made.record["snr"] == 0.25
    assert made.record["of_each_half"] == ["noise_std", "snr"]


def test_halves_count_half_of_the_dose():
    made = simulate("shapes", (24, 64, 64), np.deg2rad([0, 40]), seed=2, dose=40, halves=True)
    assert made.record["dose"] == 20
    a, b = (half.projections for half in made.halves)
    assert not np.array_equal(a, b)


def test_halves_without_noise_are_refused():
    with pytest.raises(InputError, match="differ in their noise: give snr or dose"):
        simulate("shapes", (24, 32, 32), np.deg2rad([0, 40]), halves=True)
