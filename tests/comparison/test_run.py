"""Tests of what a comparison gives to all of its methods, and of what it makes of their volumes."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

import tomoprior
import tomoprior.comparison
from tomoprior.comparison.evidence.agreement import voxel_spread
from tomoprior.comparison.evidence.planted import place_objects

from .conftest import SHAPE

compare = partial(tomoprior.comparison.compare, tune=False, isolate=False)


def test_objects_have_the_contrast_of_the_specimen_at_places_of_the_seed(series):
    """Their density is what 99 % of the voxels stay below, from the median, after 5 iterations of CGLS without weights."""
    mask = np.zeros((SHAPE[0], SHAPE[2]), np.float32)
    mask[:, 8:] = 1
    weighted = replace(series, weights=np.linspace(0.1, 1, len(series.geometry.angles), dtype=np.float32))
    planted = compare(weighted, ["wbp"], mask=mask, seed=3, checks=["planted"]).planted
    volume = tomoprior.reconstruct(series, "cgls", num_iter=5).volume
    assert planted.density == pytest.approx(np.percentile(np.abs(volume - np.median(volume)), 99))
    assert planted.density > 3 * np.median(np.abs(volume - np.median(volume)))
    expected = place_objects(series.geometry, planted.density, mask, 3)
    np.testing.assert_array_equal(planted.centers, expected.centers)
    for seed, inside in ((0, mask), (3, None)):
        other = place_objects(series.geometry, planted.density, inside, seed)
        assert other.centers.shape != planted.centers.shape or not np.allclose(other.centers, planted.centers)


def test_tilts_have_the_numbers_of_the_users_file(series):
    spoilt = series.projections.copy()
    spoilt[9] += 2 * spoilt.std()
    cut = replace(series, projections=spoilt).exclude([0, 4])
    result = compare(cut, ["cgls", "sirt"], settings={"sirt": {"num_iter": 9}}, checks=[])
    assert result.about["views"] == [i for i in range(25) if i not in (0, 4)]
    assert result["cgls"].evidence["residual"]["outliers"] == [7]
    assert any(sentence.startswith("Tilt 9 (-15.0 degrees)") and "--exclude 9" in sentence for sentence in result.summary)


def test_the_spread_is_that_of_volumes_on_the_scale_of_the_tilts(series):
    """``wbp`` has no mean; on its own scale it would differ from any other volume by an offset."""
    settings = {"sirt": {"num_iter": 9}, "half": {"num_iter": 5}}
    result = compare(series, ["wbp", "sirt", "half=sirt"], settings=settings, checks=[])
    volumes = {e.label: e.volume for e in result.entries}
    fits = {e.label: tuple(e.evidence["residual"]["calibration"]) for e in result.entries}
    np.testing.assert_array_equal(result.spread, voxel_spread(volumes, fits))
    assert abs(fits["wbp"][1]) > 1e-3
    assert compare(series, ["wbp"], checks=[]).spread is None
