"""Agreement with a truth."""

from __future__ import annotations

import numpy as np
import pytest

from tomoprior import Geometry, metrics
from tomoprior.comparison.evidence.truth import against_truth

SHAPE = (16, 20, 24)
GEOMETRY = Geometry(np.deg2rad(np.arange(-60, 61, 10.0)), SHAPE)


@pytest.fixture
def truth():
    return np.random.default_rng(0).random(SHAPE, np.float32)


def noise(seed=1):
    return np.random.default_rng(seed).normal(size=SHAPE).astype(np.float32)


def test_scale_and_offset_cost_plain_measures_and_not_the_fitted_ones(truth):
    found = against_truth(3 * truth + 2, truth, GEOMETRY, "none")
    assert found["psnr"] == pytest.approx(metrics.psnr(3 * truth + 2, truth))
    assert found["rmse_fitted"] == pytest.approx(0, abs=1e-6)
    assert max(found["blocks"]) < 1e-12
    # PSNR = 20 log10(range / rmse)
    volume = truth + 0.1 * noise()
    found = against_truth(volume, truth, GEOMETRY, "none")
    assert found["psnr_fitted"] == pytest.approx(metrics.psnr(volume, truth, match="affine"))
    assert found["rmse_fitted"] == pytest.approx(metrics.rmse(volume, truth, match="affine"))
    assert found["psnr"] < found["psnr_fitted"]


def test_the_plain_measures_follow_match(truth):
    volume = 3 * truth + 0.1 * noise()
    found = against_truth(volume, truth, GEOMETRY, "moments")
    assert found["psnr"] == pytest.approx(metrics.psnr(volume, truth, match="moments"))
    assert found["match"] == "moments"


def test_what_has_no_value_is_none(truth):
    """Slices of 16 x 24 are too small for VIF, and the PSNR of an exact volume is infinite."""
    found = against_truth(truth, truth, GEOMETRY, "none")
    assert found["vif"] is found["psnr"] is found["psnr_fitted"] is None
    assert found["rmse"] == 0


def test_inverted_contrast_is_not_turned_over(truth):
    found = against_truth(-truth, truth, GEOMETRY, "none")
    assert found["rmse_fitted"] == pytest.approx(truth.std(), rel=1e-5)
    assert found["psnr_fitted"] == pytest.approx(20 * np.log10(np.ptp(truth) / truth.std()), rel=1e-5)


def test_a_constant_volume_has_no_scale_and_the_error_of_a_mean(truth):
    assert against_truth(np.ones(SHAPE, np.float32), truth, GEOMETRY, "none")["rmse_fitted"] == pytest.approx(
        truth.std(), rel=1e-5
    )


def test_blocks_are_squared_errors_of_neighbouring_slices(truth):
    volume = truth.copy()
    volume[:, 19] += 1 - 2 * (np.indices((16, 24)).sum(0) % 2)  # a chess board in the last slice: no offset
    found = against_truth(volume, truth, GEOMETRY, "none")
    assert len(found["blocks"]) == 16  # of 20 slices: four of two, then twelve of one
    assert np.argmax(found["blocks"]) == 15
    assert found["blocks"][15] > 5 * max(found["blocks"][:15])
    sizes = np.array([2] * 4 + [1] * 12)
    assert np.sum(found["blocks"] * sizes) / 20 == pytest.approx(found["rmse_fitted"] ** 2)
    few = against_truth(volume[:, :5], truth[:, :5], Geometry(GEOMETRY.angles, (16, 5, 24)), "none")
    assert len(few["blocks"]) == 5


def test_errors_lie_where_they_were_put(truth):
    present = metrics.measured_region(SHAPE, GEOMETRY.angles, mode="wedge")
    spectrum = np.fft.rfftn(noise())

    def with_error_in(region):
        error = np.fft.irfftn(np.where(region, spectrum, 0), SHAPE, axes=(0, 1, 2))
        return against_truth((truth + error).astype(np.float32), truth, GEOMETRY, "none")

    measured, missing = with_error_in(present), with_error_in(~present)
    assert measured["error_missing"] < 1e-3 < 0.1 < measured["error_present"]
    assert missing["error_present"] < 1e-3 < 0.1 < missing["error_missing"]


def test_an_error_as_large_as_the_truth_has_share_one(truth):
    found = against_truth(np.full(SHAPE, truth.mean(dtype=np.float64), np.float32), truth, GEOMETRY, "none")
    assert found["error_present"] == pytest.approx(1, rel=1e-3)
    assert found["error_missing"] == pytest.approx(1, rel=1e-3)


def test_curves_are_those_of_the_metrics_at_one_half(truth):
    volume = truth + 0.5 * noise()
    found = against_truth(volume, truth, GEOMETRY, "none")["curves"]
    assert set(found) == {"fsc", "present", "missing"}
    assert found["fsc"]["threshold"] == 0.5
    assert found["fsc"]["crossing"] == pytest.approx(metrics.fsc(volume, truth).crossing(0.5), abs=1e-6)
    assert metrics.evaluate(volume, truth)["fsc_crossing"] == pytest.approx(found["fsc"]["crossing"], abs=1e-6)
    expected = metrics.directional_fsc(volume, truth, GEOMETRY.angles, mode="wedge")["missing"].crossing(0.5)
    assert found["missing"]["crossing"] == pytest.approx(expected, abs=1e-6)
