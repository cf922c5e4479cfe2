"""The training of an error network: it finds the variance that the examples have, and continues from saved examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.errors import FormatError
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.error_network import LOG_VARIANCE, ErrorNetwork
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.learning.unet import Shape
from tomoprior.training import ErrorTrainingSettings, calibrate_error_network, train_error_network
from tomoprior.training import error_network as module
from tomoprior.training.draws import Draw
from tomoprior.training.error_examples import ErrorExample
from tomoprior.training.optimiser import new_denoiser

TILE = (16, 16, 16)
SETTINGS = ErrorTrainingSettings(groups=2, steps=3, batch_size=1, widths=(16, 16), blocks=(1, 1))


@pytest.fixture
def prior(settings, spectrum) -> Prior:
    network = new_denoiser(settings, spectrum).eval().requires_grad_(False)
    return Prior(network, settings.tile_shape, spectrum, settings.voxel_size, "nanometer", (20, 60))


def example(seed: int) -> ErrorExample:
    """A truth that deviates from its mean by 0.1 outside the section and by 0.5 inside."""
    rng = torch.Generator().manual_seed(seed)
    inside = torch.zeros(16, 16, 32)
    inside[5:11] = 1
    mean = torch.randn(inside.shape, generator=rng)
    truth = mean + (0.1 + 0.4 * inside) * torch.randn(inside.shape, generator=rng)
    condition = Condition(mean.half(), inside.half(), torch.ones(16, 32), torch.zeros(7))
    return ErrorExample(Draw(truth.half(), condition), mean.half())


def test_the_network_finds_the_variance_of_the_errors():
    settings = ErrorTrainingSettings(steps=120, batch_size=2, widths=(16, 16), blocks=(1, 1), warm_up=5)
    losses = []
    network = module.fit_error_network([example(i) for i in range(6)], TILE, settings, on_step=lambda _, v: losses.append(v))
    test = example(100)
    part = test.draw.condition.tile((slice(None), slice(None), slice(0, 16)))
    depth = torch.linspace(-0.94, 0.94, 16)[None]
    mean = test.mean[None, :, :, :16].float()
    with torch.no_grad():
        std = network(mean, mean, part.inside[None].float(), depth, part.coverage[None], torch.zeros(1, 7))[0].div(2).exp()
    assert float(std[7:9].mean()) == pytest.approx(0.5, rel=0.25)
    assert float(std[:3].mean()) == pytest.approx(0.1, rel=0.35)
    # the least possible loss is the mean of log(std) + 1/2 over both regions
    least = 6 / 16 * np.log(0.5) + 10 / 16 * np.log(0.1) + 0.5
    assert least - 0.15 < np.mean(losses[-20:]) < least + 0.35


def test_voxels_outside_the_grid_and_unseen_columns_do_not_count():
    network = module.build_seeded(lambda: module.ErrorNetwork(module.Shape((16, 16), (1, 1), embedding=16)), 0, "cpu")
    zeros = torch.zeros(1, 16, 16, 16)
    depth = torch.linspace(-1.5, 1.5, 16)[None]
    coverage = torch.ones(1, 16, 16)
    coverage[:, :, 8:] = 0.1
    truth = torch.full_like(zeros, 100.0)
    seen = (depth.abs() < 1)[..., None, None] & (coverage[:, :, None, :] > module.SEEN)
    truth = torch.where(seen.expand_as(truth), 0.0, truth)
    loss = module._compute_loss(network, (truth, zeros, zeros, coverage, torch.zeros(1, 7), depth, zeros))
    assert float(loss.detach()) == pytest.approx(np.log(0.1) / 2, rel=1e-4)


def test_saved_examples_give_the_same_network(prior, tissue, settings, tmp_path, monkeypatch):
    settings = settings.model_copy(update={"group": 2})
    first = train_error_network(prior, tissue, settings, settings=SETTINGS, folder=tmp_path)
    monkeypatch.setattr("tomoprior.training.error_examples.make_error_examples", None)  # nothing is simulated again
    second = train_error_network(prior, tissue, settings, settings=SETTINGS, folder=tmp_path)
    assert len(list(tmp_path.iterdir())) == 2
    a, b = (p.error_network.state_dict() for p in (first, second))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert prior.error_network is None


def test_examples_of_another_seed_are_refused(prior, tissue, settings, tmp_path):
    train_error_network(prior, tissue, settings, settings=SETTINGS, folder=tmp_path)
    with pytest.raises(FormatError, match="another prior or seed"):
        train_error_network(prior, tissue, settings.model_copy(update={"seed": 5}), settings=SETTINGS, folder=tmp_path)


def test_the_progress_counts_series_and_steps(prior, tissue, settings):
    seen = []
    train_error_network(prior, tissue, settings, settings=SETTINGS, progress=lambda n, total, _: seen.append((n, total)))
    assert seen == [(n, 5) for n in (1, 2, 3, 4, 5)]


def test_the_calibration_is_the_size_of_the_errors_over_that_of_the_network(prior, other, settings, monkeypatch):
    """Networks that say a standard deviation of 1 and of 2 everywhere get factors with a ratio of 2."""
    monkeypatch.setattr(module, "REPEATS", 1)
    monkeypatch.setattr(module, "SERIES", ((40, 10),))
    factors = []
    for std in (1.0, 2.0):
        network = module.build_seeded(lambda: ErrorNetwork(Shape((16, 16), (1, 1), embedding=16)), 0, "cpu")
        network.unet.leave.bias.data.fill_(2 * np.log(std) - LOG_VARIANCE)
        calibrated = calibrate_error_network(
            replace(prior, error_network=network.eval().requires_grad_(False)), other, settings
        )
        assert [row[0] for row in calibrated.error_calibration] == [40.0]
        factors.append(np.array(calibrated.error_calibration[0][1:]))
    assert factors[0] / factors[1] == pytest.approx(2.0, rel=1e-2)
    assert all(0.05 < factor < 2 for factor in factors[0])  # tissue has a standard deviation of 0.5
