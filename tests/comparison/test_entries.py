"""The entries of a comparison and their rankings, from results made by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.candidates import make_candidates
from tomoprior.comparison.entries import make_entries, make_rankings
from tomoprior.comparison.evidence.inferred import inferred_share
from tomoprior.comparison.result import Entry
from tomoprior.comparison.shared import SharedInput
from tomoprior.series import TiltSeries


def entry(label, squares, bands):
    return Entry(label, label, {}, evidence={"held_out": {"squares": squares, "bands": bands, "error": 0.5}})


@pytest.mark.parametrize(("coarse", "groups"), [(0.1, (("a",), ("b",))), (-0.1, (("a", "b"),))])
def test_a_band_that_contradicts_leaves_methods_unranked(coarse, groups):
    """All squared errors of b are 0.1 larger; at coarse detail they are larger too, or smaller."""
    own = np.linspace(0.2, 0.3, 8)
    a, b = entry("a", own, [own, own]), entry("b", own + 0.1, [own + coarse, own + 0.1])
    (ranking,) = make_rankings([a, b])
    assert ranking.groups == groups


GEOMETRY = Geometry(np.deg2rad([-60.0, 0.0, 60.0]), (32, 1, 32))


def make_entry(volume, truth, match="none"):
    """The entry of a volume, with nothing but its reconstruction in the store."""

    class Results:
        def get(self, name):
            return {"residual": {}, "std": False, "provenance": {}, "memory": 5} if name == "reconstruction" else None

        def array(self, name):
            return volume

    outcome = {"settings": {"tuned": 1}, "status": "done", "message": "", "seconds": {}}
    shared = SharedInput(TiltSeries(np.ones(GEOMETRY.range_shape, np.float32), GEOMETRY))
    (made,) = make_entries(shared, [(make_candidates(["wbp"])[0], Results(), outcome)], truth, match)
    return made


def test_the_truths_share_beyond_the_tilts_is_that_of_the_truth():
    """A truth that varies along z alone, whose power no tilt measured, and a volume that varies along x alone."""
    z, _, x = np.indices(GEOMETRY.shape)
    truth, volume = (np.cos(2 * np.pi * 8 * axis / 32).astype(np.float32) for axis in (z, x))
    made = make_entry(volume, truth)
    assert made.evidence["inferred"]["truth_share"] == inferred_share(truth, GEOMETRY) > 0.9
    assert made.evidence["inferred"]["share"] < 0.1


def test_plain_measures_follow_the_wanted_match():
    truth = np.random.default_rng(0).random(GEOMETRY.shape, np.float32)
    volume = truth + 4  # all voxels are 4 too high, which a fitted offset takes away
    assert make_entry(volume, truth).evidence["truth"]["rmse"] == pytest.approx(4, rel=1e-6)
    assert make_entry(volume, truth, "affine").evidence["truth"]["rmse"] == pytest.approx(0, abs=1e-6)


def test_an_entry_has_the_settings_and_the_memory_of_the_run():
    volume = np.eye(32, dtype=np.float32)[:, None]
    assert make_entry(volume, None).settings == {"tuned": 1}
    assert make_entry(volume, None).memory == 5
