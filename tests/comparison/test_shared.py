"""The split of the tilts, and the contents of the input of a comparison."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries, methods
from tomoprior.comparison import shared as shared_input
from tomoprior.comparison.result import Planted
from tomoprior.comparison.shared import SharedInput, choose_held_out, order_tilts, split_halves
from tomoprior.errors import InputError
from tomoprior.projector import ProjectorOptions

SHAPE = (4, 3, 6)


def series(degrees, weights=None) -> TiltSeries:
    geometry = Geometry(np.deg2rad(np.asarray(degrees, float)), SHAPE)
    projections = np.random.default_rng(0).normal(size=geometry.range_shape).astype(np.float32)
    return TiltSeries(projections, geometry, weights)


def degrees(part: TiltSeries) -> list[float]:
    return np.rad2deg(part.geometry.angles).round(6).tolist()


def test_tilts_are_in_the_order_of_angle_whatever_the_order_of_recording():
    assert order_tilts(series([10, -20, 0, 30, -5])).tolist() == [1, 4, 2, 0, 3]


def test_a_tilt_without_weight_takes_no_part():
    assert order_tilts(series([10, -20, 0, 30], np.array([1, 0, 0.5, 1], np.float32))).tolist() == [2, 0, 3]
    pixels = np.ones((4, 3, 6), np.float32)
    pixels[3] = 0
    pixels[0, :2] = 0  # part of a tilt is enough to trust it
    assert order_tilts(series([10, -20, 0, 30], pixels)).tolist() == [1, 2, 0]


def test_halves_are_every_other_tilt_and_share_none():
    # sorted: -20 -5 0 10 30 40; even places -20 0 30, odd -5 10 40; each half keeps the order of recording
    even, odd = split_halves(series([10, -20, 0, 30, -5, 40]))
    assert degrees(even) == [-20, 0, 30]
    assert degrees(odd) == [10, -5, 40]


def test_halves_hold_the_tilts_of_their_angles():
    whole = series([10, -20, 0, 30, -5, 40])
    even, odd = split_halves(whole)
    np.testing.assert_array_equal(even.projections, whole.projections[[1, 2, 3]])
    np.testing.assert_array_equal(odd.projections, whole.projections[[0, 4, 5]])


def test_halves_leave_out_what_has_no_weight():
    even, odd = split_halves(series([0, 10, 20, 30, 40], np.array([1, 0, 1, 1, 1], np.float32)))
    assert degrees(even) == [0, 30]
    assert degrees(odd) == [20, 40]


def test_three_tilts_have_no_halves():
    with pytest.raises(InputError, match="3 tilts are too few for two halves: it takes 4"):
        split_halves(series([0, 10, 20]))
    assert [len(degrees(half)) for half in split_halves(series([0, 10, 20, 30]))] == [2, 2]


def test_every_fifth_tilt_is_held_out_and_never_an_end():
    # the middle of each five: places 2, 7, 12, ... of the sorted tilts
    keep, out = choose_held_out(series(np.arange(0, 110, 10)))
    assert out.tolist() == [2, 7]
    assert keep.tolist() == [0, 1, 3, 4, 5, 6, 8, 9, 10]
    _, out = choose_held_out(series(np.arange(0, 80, 10)))  # place 7 is the last tilt: it stays
    assert out.tolist() == [2]


def test_held_out_goes_by_angle_and_gives_places_in_the_series():
    _, out = choose_held_out(series([40, 30, 20, 10, 0]))
    assert out.tolist() == [2]
    _, out = choose_held_out(series([20, 40, 30, 0, 10]))
    assert out.tolist() == [0]
    with pytest.raises(InputError, match="4 tilts are too few to hold some out: it takes 5"):
        choose_held_out(series([0, 1, 2, 3]))


@pytest.mark.parametrize(
    "change",
    [
        lambda s: replace(s, series=replace(s.series, projections=s.series.projections + 1)),
        lambda s: replace(s, series=replace(s.series, weights=np.array([1, 1, 0.5], np.float32))),
        lambda s: replace(s, mask=np.ones((4, 6), np.float32)),
        lambda s: replace(s, seed=1),
        lambda s: replace(s, options=ProjectorOptions(kind="strip")),
        lambda s: replace(s, options=ProjectorOptions(backend="astra-2d")),
        lambda s: replace(s, options=ProjectorOptions(device="cpu")),
        lambda s: replace(s, series=TiltSeries(s.series.projections, Geometry(s.series.geometry.angles + 0.1, SHAPE))),
    ],
)
def test_results_belong_to_all_of_the_input(change):
    shared = SharedInput(series([0, 10, 20]))
    assert change(shared).digest() != shared.digest()
    assert SharedInput(series([0, 10, 20])).digest() == shared.digest()


@pytest.mark.parametrize(("name", "value"), [("__version__", "0.0.0"), ("EVIDENCE", 0)])
def test_results_of_another_version_are_made_anew(monkeypatch, name, value):
    before = SharedInput(series([0, 10, 20])).digest()
    monkeypatch.setattr(shared_input, name, value)
    assert SharedInput(series([0, 10, 20])).digest() != before


def test_planted_objects_change_no_reconstruction_and_no_digest():
    shared = SharedInput(series([0, 10, 20]))
    planted = Planted(np.ones((1, 3)), np.zeros((1, 3)), 1.5, 2.0)
    assert replace(shared, planted=planted).digest() == shared.digest()


@pytest.mark.parametrize("complete", [True, False])
def test_another_process_loads_what_was_saved(tmp_path, complete):
    weights = np.array([1, 0, 0.5], np.float32) if complete else None
    planted = Planted(np.array([[1.0, 2.5, 3.0]]), np.array([[0.0, 1.0, 2.0]]), 1.5, 2.0) if complete else None
    mask = np.tri(4, 6, dtype=np.float32) if complete else None
    shared = SharedInput(series([0, 10, 20], weights), mask, planted, ProjectorOptions("cpu", "strip", "astra-2d"), 7)
    shared.save(tmp_path / "input")
    loaded = SharedInput.load(tmp_path / "input")
    assert loaded.digest() == shared.digest()
    assert (loaded.options, loaded.seed) == (shared.options, 7)
    if complete:
        np.testing.assert_array_equal(loaded.planted.centers, planted.centers)
        np.testing.assert_array_equal(loaded.planted.controls, planted.controls)
        assert (loaded.planted.radius, loaded.planted.density) == (1.5, 2.0)
        np.testing.assert_array_equal(loaded.mask, mask)
    else:
        assert loaded.planted is loaded.mask is loaded.series.weights is None
    assert not list(tmp_path.rglob("*.part*"))


def test_a_run_has_the_mask_and_the_seed_of_the_comparison():
    mask = np.zeros((4, 6), np.float32)
    mask[1:3, 2:4] = 1
    data = series([-30, 0, 30])
    sirt = methods.get("sirt")
    result = SharedInput(data, mask, seed=5).reconstruct(data, sirt, sirt.Settings.parse({"num_iter": 2}))
    assert result.provenance["seed"] == 5
    assert not result.volume[:, :, [0, 1, 4, 5]].any()
    assert result.volume[1:3, :, 2:4].any()
