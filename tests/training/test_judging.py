"""What a denoiser is judged by: trials, the validation's score, and the calibration of its spread."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.methods.diffusion.prior import Prior
from tomoprior.training import calibrate, calibration, validation
from tomoprior.training.calibration import standardised
from tomoprior.training.optimiser import fresh
from tomoprior.training.trials import Trial
from tomoprior.training.validation import Validation

SERIES = ((30.0, 6.0), (60.0, 10.0))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(validation, "SERIES", SERIES)
    monkeypatch.setattr(calibration, "SERIES", SERIES)


@pytest.fixture
def untrained(settings, spectrum):
    return Prior(
        fresh(settings).eval().requires_grad_(False), settings.tile_shape, spectrum, settings.voxel_size, "nanometer", (20, 60)
    )  # fmt: skip


def test_a_trial_is_the_same_every_time_and_another_for_another_seed(other, spectrum, settings):
    one, again, else_ = (Trial.of(other, spectrum, settings, 60, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(one.told.linear, again.told.linear)
    assert not torch.equal(one.told.linear, else_.told.linear)
    np.testing.assert_allclose(np.rad2deg(one.data.A.geometry.angles), np.arange(-30, 31, 10), atol=1e-9)
    assert one.made.record["spoilt_tilts"] == []


def test_its_psnr_is_that_of_densities(other, spectrum, settings):
    trial = Trial.of(other, spectrum, settings, 60, 10, 1)
    density = torch.from_numpy(trial.made.truth.volume)
    off = (density + 0.1 - trial.data.scale.mean) / trial.data.scale.gain
    assert abs(trial.psnr(off) - 20) < 1e-3


def test_an_untrained_denoiser_scores_as_the_linear_estimate(few, other, spectrum, settings):
    score, linear = Validation(other, spectrum, settings).score(fresh(settings).eval())
    assert abs(score - linear) < 0.05


def test_a_better_denoiser_has_a_better_score(few, other, spectrum, settings):
    check = Validation(other, spectrum, settings)

    class Knowing(torch.nn.Module):
        """Goes half the way to the truth of the series that has just this linear estimate."""

        def forward(self, noisy, sigma, linear, *rest):
            return linear / 2

    worse = Knowing()
    assert check.score(worse)[0] < check.score(fresh(settings).eval())[0]
    assert [row["range"] for row in check.table(worse)] == [30, 60]


def test_errors_and_spread_are_measured(few, monkeypatch, other, settings, untrained):
    monkeypatch.setattr(calibration, "REPEATS", 1)
    monkeypatch.setattr(calibration, "SAMPLES", 2)
    found = calibrate(untrained, other, settings)
    assert [level for level, _ in found.errors] == list(calibration.LEVELS)
    values = [error for _, error in found.errors]
    # hardly any noise is hardly touched; of much nothing is left but the linear estimate's own error
    assert abs(values[0] / calibration.LEVELS[0] ** 2 - 1) < 0.1
    trials = [Trial.of(other, untrained.spectrum, settings, *tilts, calibration.SEED + i) for i, tilts in enumerate(SERIES)]
    linear = np.mean([float(t.data.crop(t.told.linear - t.truth).square().mean()) for t in trials])
    assert abs(values[-1] / linear - 1) < 0.05
    # with the factors that were found, the spread is that of the errors; with twice as large ones twice as wide
    assert [span for span, _ in found.calibration] == [30, 60]
    assert abs(standardised(found, trials[1].made, 2) - 1) < 1e-3
    wide = replace(found, calibration=tuple((span, 2 * factor) for span, factor in found.calibration))
    assert abs(standardised(wide, trials[1].made, 2) - 0.25) < 1e-3
