"""The findings in sentences: short, with each unit once."""

import re

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.comparison.result import Entry, Ranking
from tomoprior.comparison.summary import find_bad_tilts, summarize

GEOMETRY = Geometry(np.deg2rad([-60.0, 0, 60]), (4, 4, 4), voxel_size=2.0, unit="nanometer")


def entry(label, psnr, error, crossing):
    return Entry(
        label,
        label,
        {},
        volume=np.zeros((4, 4, 4), np.float32),
        evidence={
            "truth": {"psnr_fitted": psnr},
            "held_out": {"error": error},
            "planted": {"found": 2, "of": 4, "contrast": 0.5, "invented": 0.3 if label == "cn" else 0.1},
            "halves": {"present": {"crossing": crossing}},
            "inferred": {"share": error, "truth_share": 0.5},
            "residual": {"outliers": [2]},
        },
    )


@pytest.fixture
def told():
    entries = [entry("tv", 20.0, 0.25, 0.25), entry("cn", 18.0, 0.2, 0.5), entry("wbp", 9.0, 0.5, 0.0)]
    rankings = [
        Ranking("the truth", (("tv",), ("cn",), ("wbp",)), "", "truth.rmse_fitted"),
        Ranking("prediction of held-out tilts", (("cn", "tv"), ("wbp",)), "", "held_out.error"),
    ]
    return summarize(entries, rankings, GEOMETRY, [0, 1, 7])


def test_each_finding_is_told_with_its_unit_once(told):
    assert told == [
        "By the truth the best is tv (20.0 dB). Behind: cn (18.0), wbp (9.0).",
        "By prediction of held-out tilts the best are cn (error 20 %) and tv (25). This evidence cannot rank them. "
        "Behind: wbp (50).",
        "4 small objects were added to the tilts. So many are shown (share of the contrast): tv 2 (0.50), cn 2 (0.50), "
        "wbp 2 (0.50). Strong responses where there is no object: cn (0.30).",
        "Power in directions that no tilt measured: cn 20 %, wbp 50 %, the truth 50 %. This part is inferred, even if it looks "
        "real.",
        "Even and odd tilts agree in measured directions down to (nm): tv 8, cn 4 or finer, wbp nowhere. This ranks no "
        "methods: a prior makes both halves alike.",
        "Tilt 7 (60.0 degrees) does not fit with the others: look at it, or --exclude 7.",
    ]


def test_sentences_are_short(told):
    words = [len(sentence.split()) for text in told for sentence in re.split(r"(?<=[.:]) ", text)]
    assert max(words) <= 18


def test_resolution_is_in_voxels_where_their_size_is_unknown():
    """Binned by 2, a voxel has 2 pixels of the file, and the curve ends after a quarter of a cycle per voxel."""
    binned = Geometry(GEOMETRY.angles, (4, 4, 4), voxel_size=2.0)
    assert "down to (voxels): tv 4." in summarize([entry("tv", 20.0, 0.25, 0.25)], [], binned, [0, 1, 2])[2]


def sentences(inferred, correlations):
    """The findings on three methods with this power beyond the tilts, and these mean correlations with the others."""
    entries = [
        Entry(
            label,
            label,
            {},
            volume=np.zeros((4, 4, 4), np.float32),
            evidence={"inferred": {"share": inferred, "truth_share": None}, "agreement": {"x": c, "y": c}},
        )
        for label, c in zip(("tv", "sirt", "wbp"), correlations, strict=True)
    ]
    return summarize(entries, [], GEOMETRY, [0, 1, 2])


def test_nothing_is_inferred_where_the_tilts_leave_no_direction_out():
    assert sentences(0.0, (0.9, 0.8, 0.7)) == [
        "wbp agrees least with the other methods (mean correlation 0.70 voxel by voxel)."
    ]
    assert sentences(0.25, (0.9, 0.8, 0.7))[0].startswith("Power in directions that no tilt measured: tv 25 %.")


def test_methods_that_agree_have_no_outsider():
    assert sentences(0.0, (0.999, 0.998, 0.996)) == ["All methods agree (mean correlation at least 0.995 voxel by voxel)."]
    assert sentences(0.0, (0.999, 0.998, 0.994)) == [
        "wbp agrees least with the other methods (mean correlation 0.99 voxel by voxel)."
    ]


@pytest.mark.parametrize(("votes", "bad"), [((1, 0), [2]), ((1, 0, 0), []), ((1, 1, 0), [2]), ((0, 0), [])])
def test_half_of_the_methods_make_a_tilt_bad(votes, bad):
    entries = [Entry("a", "a", {}, evidence={"residual": {"outliers": [2] * vote}}) for vote in votes]
    assert find_bad_tilts([*entries, Entry("without a volume", "b", {})]) == bad
