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


def test_the_truths_share_beyond_the_tilts_is_that_of_the_truth(tmp_path):
    """A truth that varies along z alone, whose power no tilt measured, and a volume that varies along x alone."""
    geometry = Geometry(np.deg2rad([-60.0, 0.0, 60.0]), (32, 1, 32))
    z, _, x = np.indices(geometry.shape)
    truth, volume = (np.cos(2 * np.pi * 8 * axis / 32).astype(np.float32) for axis in (z, x))

    class Results:
        def get(self, name):
            return {"residual": {}, "std": False, "provenance": {}, "memory": None} if name == "reconstruction" else None

        def array(self, name):
            return volume

    outcome = {"settings": {}, "status": "done", "message": "", "seconds": {}}
    shared = SharedInput(TiltSeries(np.ones(geometry.range_shape, np.float32), geometry))
    (made,) = make_entries(shared, [(make_candidates(["wbp"])[0], Results(), outcome)], truth, "none")
    assert made.evidence["inferred"]["truth_share"] == inferred_share(truth, geometry) > 0.9
    assert made.evidence["inferred"]["share"] < 0.1
