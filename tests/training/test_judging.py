"""Scores of a denoiser: trials, the validation, and the calibration of its spread."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.errors import InputError
from tomoprior.methods.diffusion.denoiser import BLIND_SIGMA, Condition
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import calibrate, calibration, validation
from tomoprior.training.calibration import calibration_series, measure_errors, measure_spread, spread_factors, standardise
from tomoprior.training.optimiser import new_denoiser
from tomoprior.training.simulator import Simulator
from tomoprior.training.trials import Trial
from tomoprior.training.validation import Validation

SERIES = ((30, 6), (60, 10))


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(validation, "SERIES", SERIES)
    monkeypatch.setattr(calibration, "SERIES", SERIES)
    monkeypatch.setattr(calibration, "REPEATS", 1)
    monkeypatch.setattr(calibration, "SAMPLES", 2)


@pytest.fixture(scope="module")
def untrained(settings, spectrum):
    return Prior(
        new_denoiser(settings, spectrum).eval().requires_grad_(False), settings.tile_shape, spectrum, settings.voxel_size,
        "nanometer", (20, 60),
    )  # fmt: skip


class Saying(torch.nn.Module):
    """A denoiser that returns a function of its linear estimate and its noisy volume."""

    def __init__(self, network, say):
        super().__init__()
        self.unet, self.say = network.unet, say

    def forward(self, noisy, sigma, linear, *rest):
        return self.say(noisy, sigma, linear), sigma


def test_a_trial_is_the_same_every_time_and_another_for_another_seed(simulator):
    one, again, else_ = (Trial.simulate(simulator, 60, 10, seed) for seed in (1, 1, 2))
    assert torch.equal(one.condition.linear, again.condition.linear)
    assert torch.equal(one.truth, again.truth)
    assert not torch.equal(one.condition.linear, else_.condition.linear)
    numbers = one.condition.numbers[:3].tolist()
    assert numbers == pytest.approx([-0.5, 0.5, math.log(7) / 4], abs=1e-5)
    assert one.truth.shape == (16, 16, one.condition.linear.shape[2])
    assert one.columns.stop - one.columns.start == 32
    assert all(v.dtype == torch.float32 for v in vars(one.condition).values())


def test_a_trial_at_an_empty_place_is_made_elsewhere(simulator, monkeypatch):
    ordinary, tried = Simulator.record, []

    def record(self, *values):
        tried.append(values)
        if len(tried) == 1:
            raise ValueError("the section is empty")
        return ordinary(self, *values)

    with monkeypatch.context() as patch:
        patch.setattr(Simulator, "record", record)
        found = Trial.simulate(simulator, 60, 10, 1)
    assert len(tried) == 2
    assert not torch.equal(found.truth, Trial.simulate(simulator, 60, 10, 1).truth)


def test_a_volume_that_shows_nothing_cannot_be_judged_by(few, spectrum, settings):
    empty = Tissue(np.full((48, 48, 48), 255, np.uint8), 10.0, "nanometer", 255.0, 0.0)
    with pytest.raises(InputError, match="no tissue; the last: the section is empty"):
        Validation(empty, spectrum, settings)


def test_its_psnr_is_that_of_densities(simulator):
    trial = Trial.simulate(simulator, 60, 10, 1)
    assert 0.1 < trial.gain < 1
    off = trial.truth.float() + 0.1 / trial.gain
    assert trial.psnr(off) == pytest.approx(20, abs=1e-3)
    # beside the field of view nobody looks
    off[..., : trial.columns.start] += 7
    assert trial.psnr(off) == pytest.approx(20, abs=1e-3)


def test_inside_the_means_of_planes_do_not_count(simulator):
    trial = Trial.simulate(simulator, 60, 10, 1)
    truth = trial.truth.float()
    heights = torch.arange(16.0)[:, None, None]
    stripes = torch.ones(truth.shape[2])
    stripes[::2] = -1
    assert trial.inner_psnr(truth + heights / trial.gain) > 60
    assert trial.inner_psnr(truth + (heights + 0.1 * stripes) / trial.gain) == pytest.approx(20, abs=0.05)
    vacuum = (trial.condition.inside <= 0.9) * 5.0
    assert trial.inner_psnr(truth + vacuum + 0.1 * stripes / trial.gain) == pytest.approx(20, abs=0.05)


def test_a_score_has_a_number_for_every_column_of_the_log(few, other, spectrum, settings):
    score = Validation(other, spectrum, settings).score(new_denoiser(settings, spectrum).eval())
    gains = {f"gain_{level:g}" for level in validation.LEVELS}
    assert score.keys() == {"validation_psnr", "linear_psnr", "inner", "linear_inner"} | gains
    assert all(math.isfinite(v) for v in score.values())


def test_an_untrained_denoiser_scores_as_the_linear_ones(few, other, spectrum, settings):
    check = Validation(other, spectrum, settings)
    network = new_denoiser(settings, spectrum)
    nothing = Saying(network, lambda noisy, sigma, linear: linear)
    score, same = check.score(network.eval()), check.score(nothing)
    for name in ("psnr", "inner"):
        linear = score["linear_psnr" if name == "psnr" else "linear_inner"]
        assert same["validation_psnr" if name == "psnr" else "inner"] == pytest.approx(linear, abs=1e-4)
        assert score["validation_psnr" if name == "psnr" else "inner"] == pytest.approx(linear, abs=0.6)
    assert score["gain_1.6"] == pytest.approx(0, abs=0.5)


def test_a_better_denoiser_has_a_better_score(few, other, spectrum, settings):
    check = Validation(other, spectrum, settings)
    network = new_denoiser(settings, spectrum)
    worse = Saying(network, lambda noisy, sigma, linear: linear / 2)
    assert check.score(worse)["validation_psnr"] < check.score(network.eval())["validation_psnr"] - 0.3
    assert [row["range"] for row in check.table(worse)] == [30, 60]
    # one that leaves the noise gains as many dB less as the linear denoiser takes off
    untouched = check.gains(Saying(network, lambda noisy, sigma, linear: noisy))
    assert all(gain < -0.2 for gain in untouched.values())
    truth, told = check.block.truth.float(), check.block.condition
    noisy = truth + 0.8 * torch.randn(truth.shape, generator=torch.Generator().manual_seed(0))
    left = (check._linear(noisy, 0.8) - truth).square().mean() / (noisy - truth).square().mean()
    assert untouched[0.8] == pytest.approx(10 * math.log10(float(left)), abs=0.01)
    assert told.numbers.shape == (7,)


def test_a_validation_is_the_same_for_every_training(few, other, spectrum, settings):
    denoiser = new_denoiser(settings, spectrum).eval()
    one = Validation(other, spectrum, settings).score(denoiser)
    again = Validation(other, spectrum, settings.model_copy(update={"seed": 5, "group": 2, "turned": 1.0}))
    assert again.score(denoiser) == one


def test_errors_are_those_of_the_denoiser_without_conditions(untrained, simulator):
    errors = measure_errors(untrained, simulator)
    # hardly any noise is hardly touched; of much nothing is left but the tissue
    assert 0.5 < errors[0] / calibration.LEVELS[0] ** 2 < 2
    truth = simulator.filled_block(calibration.SEED).truth.float()
    assert abs(errors[-1] / float(truth.square().mean()) - 1) < 0.1
    assert errors == sorted(errors)
    knowing = replace(untrained, denoiser=Saying(untrained.denoiser, lambda noisy, sigma, linear: noisy * 0))
    assert measure_errors(knowing, simulator)[3] == pytest.approx(float(truth.square().mean()), rel=1e-5)
    assert max(calibration.LEVELS) < BLIND_SIGMA


def test_series_for_calibration_are_those_of_users(other, settings):
    made, again, else_ = (calibration_series(other, settings, 60, 10, seed) for seed in (1, 1, 2))
    np.testing.assert_allclose(np.rad2deg(made.series.geometry.angles), np.arange(-30, 31, 10), atol=1e-9)
    assert made.series.geometry.shape == (16, 16, 24)
    assert made.record["spoilt_tilts"] == []
    np.testing.assert_array_equal(made.series.projections, again.series.projections)
    assert not np.array_equal(made.series.projections, else_.series.projections)


@pytest.mark.slow
def test_errors_and_spread_are_measured(few, monkeypatch, other, settings, untrained):
    said = []
    found = calibrate(untrained, other, settings, said.append)
    assert [level for level, _ in found.errors] == list(calibration.LEVELS)
    assert [factors[0] for factors in found.calibration] == [30, 60]
    assert all(len(factors) == 4 and min(factors) > 0 for factors in found.calibration)
    assert said == ["errors of the denoiser", "spread at 30 degrees, series 1 of 1", "spread at 60 degrees, series 1 of 1"]
    assert untrained.calibration == ()
    made = calibration_series(other, settings, 60, 10, calibration.SEED + 60)
    z, inside = standardise(found, made, 2)
    doubled = tuple((span, *(2 * f for f in factors)) for span, *factors in found.calibration)
    wide, _ = standardise(replace(found, calibration=doubled), made, 2)
    torch.testing.assert_close(wide, z / 2, atol=1e-4, rtol=1e-3)
    assert inside.shape == z.shape == (16, 16, 24)
    assert 0 <= float(inside.min()) <= float(inside.max()) <= 1
    # the factors make the standardised error's mean square 1, but for those that are cut
    monkeypatch.setattr(calibration, "standardise", lambda *_: (z, inside))
    assert all(0.6 < factor < 1.6 for factor in spread_factors([measure_spread(found, made, 2)])[:2])


def test_each_region_has_its_own_factor_and_one_that_is_missing_that_of_the_whole(untrained, monkeypatch):
    z = torch.full((4, 2, 2), 1.0)
    inside = torch.tensor([1.0, 0.5, 0.0, 0.0])[:, None, None].expand(4, 2, 2)
    z[1], z[2], z[3] = 2.0, 0.5, -0.5
    monkeypatch.setattr(calibration, "standardise", lambda *_: (z, inside))
    assert spread_factors([measure_spread(untrained, None, 2)] * 2) == pytest.approx((1.0, 2.0, 0.5))
    monkeypatch.setattr(calibration, "standardise", lambda *_: (z, torch.ones(4, 2, 2)))
    inner, faces, vacuum = spread_factors([measure_spread(untrained, None, 2)])
    assert inner == faces == vacuum == pytest.approx(math.sqrt((1 + 4 + 0.25 + 0.25) / 4))
    # a few voxels far off count as LARGEST
    monkeypatch.setattr(calibration, "standardise", lambda *_: (z * 100, torch.ones(4, 2, 2)))
    assert spread_factors([measure_spread(untrained, None, 2)])[0] == pytest.approx(calibration.LARGEST)


def test_without_a_series_the_denoiser_knows_the_grid_alone(few, other, spectrum, settings):
    block = Validation(other, spectrum, settings).block
    assert isinstance(block.condition, Condition)
    assert bool((block.condition.inside == 1).all())
    assert not block.has_series
