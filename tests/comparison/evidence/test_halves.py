"""Agreement of two halves of the tilts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tomoprior.comparison.evidence.halves import halves
from tomoprior.metrics import fsc, fsc_of_halves, measured_region

DEGREES = [10, -20, 0, 30, -10, 20]
SHAPE = (24, 24, 24)


def test_each_half_is_every_other_tilt(share, give):
    rng = np.random.default_rng(0)
    reconstruct, calls = give(*rng.normal(size=(2, *SHAPE)).astype(np.float32))
    halves(share(DEGREES, SHAPE), reconstruct)
    assert calls == [("halves: even", [-20, 0, 20]), ("halves: odd", [10, 30, -10])]


def test_halves_that_agree_and_halves_that_do_not(share, give):
    a, b = np.random.default_rng(0).normal(size=(2, *SHAPE)).astype(np.float32)
    same, other = (halves(share(DEGREES, SHAPE), give(a, second)[0]) for second in (a, b))
    for part in ("present", "missing"):
        assert same[part]["crossing"] == 0.5
        assert same[part]["threshold"] == 0.143
        assert np.abs([c for c in other[part]["correlation"] if c is not None][3:]).max() < 0.45
        assert np.nanmean([c for c in other[part]["correlation"] if c is not None]) < 0.15


def test_measured_and_unmeasured_directions_are_judged_apart(share, give):
    """Halves that share only what lies between the tilts."""
    a, b = np.random.default_rng(1).normal(size=(2, *SHAPE))
    angles = np.deg2rad([-20, 30])
    region = measured_region(SHAPE, angles, mode="wedge")
    spectrum = np.where(region, np.fft.rfftn(a), np.fft.rfftn(b))
    mixed = np.fft.irfftn(spectrum, SHAPE, axes=(0, 1, 2))
    found = halves(share(DEGREES, SHAPE), give(a.astype(np.float32), mixed.astype(np.float32))[0])
    assert found["present"]["mean"] > 0.8
    assert found["missing"]["mean"] < 0.4


def test_the_curves_are_those_of_the_metrics(share, give):
    a, b = np.random.default_rng(2).normal(size=(2, *SHAPE)).astype(np.float32)
    a, b = a + b, a - 0.2 * b
    found = halves(share(DEGREES, SHAPE), give(a, b)[0])
    region = measured_region(SHAPE, np.deg2rad(DEGREES), mode="wedge")
    expected = fsc_of_halves(a, b, region=~region)
    assert found["missing"]["crossing"] == pytest.approx(expected.crossing(0.143))


@pytest.mark.parametrize("axes", [2, 3])
def test_the_edge_of_a_common_mask_is_no_agreement(share, give, axes):
    mask = np.zeros((24, 24), np.float32)
    mask[3:-3, 3:-3] = 1
    inside = np.broadcast_to(mask[:, None, :], SHAPE)
    volumes = [(inside * (10 + v)).astype(np.float32) for v in np.random.default_rng(3).normal(size=(2, *SHAPE))]
    shared = replace(share(DEGREES, SHAPE), mask=mask if axes == 2 else inside)
    assert halves(shared, give(*volumes)[0])["present"]["crossing"] < 0.15
    assert halves(share(DEGREES, SHAPE), give(*volumes)[0])["present"]["crossing"] > 0.25


def test_the_correlation_that_the_box_causes_is_removed(share, give):
    """Noise around one constant level: the soft box correlates with itself, and the evidence is without that part."""
    a, b = np.random.default_rng(3).normal(size=(2, *SHAPE)).astype(np.float32)
    found = halves(share(DEGREES, SHAPE), give(a, b)[0])["present"]
    region = measured_region(SHAPE, np.deg2rad(DEGREES), mode="wedge")
    corrected, plain = (measure(a, b, region=region).correlation for measure in (fsc_of_halves, fsc))
    known = [i for i, c in enumerate(found["correlation"]) if c is not None]
    assert [found["correlation"][i] for i in known] == pytest.approx(corrected[known])
    assert np.abs(corrected[known] - plain[known]).max() > 0.01
