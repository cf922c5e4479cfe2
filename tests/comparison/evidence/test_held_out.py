"""Held-out tilts: which ones are predicted, from which volume, and how they add up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior.comparison.evidence.held_out import held_out
from tomoprior.projector import Projector

DEGREES = np.arange(0, 60, 6)  # places 2 and 7 are held out: 12 and 42 degrees


def exact(share, volume, **options):
    shared = share(DEGREES, volume.shape, **options)
    projections = np.asarray(Projector(shared.series.geometry)(volume))
    return replace(shared, series=replace(shared.series, projections=projections.astype(np.float32)))


@pytest.fixture
def volume():
    return np.random.default_rng(1).random((16, 18, 20), np.float32)


def test_the_method_does_not_see_what_it_predicts(share, give, volume):
    reconstruct, calls = give(volume)
    found = held_out(exact(share, volume), reconstruct)
    assert calls == [("held_out", [0, 6, 18, 24, 30, 36, 48, 54])]
    assert found["views"] == [2, 7]
    assert found["angles"] == pytest.approx([12, 42])


def test_the_true_volume_has_no_error_whatever_its_scale_and_offset(share, give, volume):
    found = held_out(exact(share, volume), give(0.2 * volume - 3)[0])
    assert found["error"] < 1e-3
    assert found["scales"] == pytest.approx([5, 5], rel=1e-3)


def test_each_tilt_has_a_brightness_of_its_own(share, give, volume):
    shared = exact(share, volume)
    gain = np.linspace(0.5, 2, len(DEGREES)).astype(np.float32)[:, None, None]
    shared = replace(shared, series=replace(shared.series, projections=gain * shared.series.projections + 10 * gain))
    found = held_out(shared, give(volume)[0])
    assert found["error"] < 1e-3
    assert found["scales"] == pytest.approx(gain[[2, 7], 0, 0], rel=1e-3)


def test_errors_squares_and_the_error_of_all_belong_together(share, give, volume):
    wrong = np.random.default_rng(2).random(volume.shape, np.float32)
    found = held_out(exact(share, volume), give(volume + wrong)[0])
    # two random volumes of the same power: half of the power of each tilt is explained, and less than the scale suggests
    assert 0.3 < found["squares"][0] < 0.7
    assert found["squares"] == pytest.approx(np.square(found["errors"]))
    assert found["error"] == pytest.approx(np.sqrt(np.mean(found["squares"])))
    assert np.shape(found["bands"]) == (4, 2)


def test_weights_of_tilts_weigh_their_squares(share, give, volume):
    weights = np.ones(len(DEGREES), np.float32)
    weights[7] = 3
    wrong = volume + np.random.default_rng(2).random(volume.shape, np.float32)
    plain = held_out(exact(share, volume), give(wrong)[0])
    weighted = held_out(exact(share, volume, weights=weights), give(wrong)[0])
    # 1 and 3 of a mean of 2
    assert weighted["squares"] == pytest.approx(np.array([0.5, 1.5]) * plain["squares"], rel=1e-5)
    assert np.array(weighted["bands"]) == pytest.approx(np.array([0.5, 1.5]) * plain["bands"], rel=1e-4)
    assert weighted["errors"] == pytest.approx(plain["errors"], rel=1e-5)
