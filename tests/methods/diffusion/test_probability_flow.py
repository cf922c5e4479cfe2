"""With the exact mean of a Gaussian prior instead of the network, the flow gives samples of this prior."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.diffusion.probability_flow import follow_flow
from tomoprior.methods.diffusion.row_noise import RowNoise
from tomoprior.methods.diffusion.sampler import Schedule

SHAPE = (16, 16, 16)
CPU = torch.device("cpu")
LEVELS = Schedule(24, 60.0, 0.005).levels().tolist()


def noise_of(sample, shape=SHAPE):
    return RowNoise(0, sample, range(shape[1]), CPU)


def test_white_tissue():
    """Each voxel has its own mean and standard deviation."""
    g = torch.Generator().manual_seed(0)
    mean, spread = torch.randn(SHAPE, generator=g), 0.2 + torch.rand(SHAPE, generator=g)

    def denoise(x, sigma, phase):
        return mean + (x - mean) * spread**2 / (spread**2 + sigma**2)

    draws = torch.stack([follow_flow(denoise, torch.zeros(SHAPE), LEVELS, noise_of(k)) for k in range(60)])
    z = (draws - mean) / spread
    assert float(z.mean()) == pytest.approx(0, abs=0.05)
    assert float(z.var()) == pytest.approx(1, rel=0.1)
    for part in (spread < 0.5, spread > 0.9):  # neither is favoured
        assert float(z[:, part].var()) == pytest.approx(1, rel=0.1)


def test_coloured_tissue(spectrum):
    k2 = sum(g**2 for g in torch.meshgrid(*[torch.fft.fftfreq(n) for n in SHAPE], indexing="ij"))
    power = spectrum(k2)

    def denoise(x, sigma, phase):
        return 1.3 + torch.fft.ifftn(torch.fft.fftn(x - 1.3) * power / (power + sigma**2)).real

    # of coarse structure a coefficient's spread is 12: the first level must be far above that
    levels = Schedule(40, 500.0, 0.005).levels().tolist()
    draws = torch.stack([follow_flow(denoise, torch.zeros(SHAPE), levels, noise_of(k)) for k in range(80)])
    found = torch.fft.fftn(draws - 1.3, dim=(1, 2, 3)).abs().square().mean(0) / k2.numel()
    assert float(draws.mean()) == pytest.approx(1.3, abs=0.1)
    assert float(draws.var()) == pytest.approx(float(power.mean()), rel=0.1)
    radius = k2.sqrt()
    for low, high in ((0.0, 0.1), (0.1, 0.2), (0.2, 0.4), (0.4, 0.9)):  # and in every band
        band = (radius >= low) & (radius < high)
        assert float(found[band].sum() / power[band].sum()) == pytest.approx(1, rel=0.1), low


def test_few_levels_are_accurate():
    """The solver is of second order: with a third of the levels the deviation is right within a tenth."""
    spread = 0.5

    def denoise(x, sigma, phase):
        return x * (spread**2 / (spread**2 + sigma**2))

    def error(levels):
        x = follow_flow(denoise, torch.zeros(SHAPE), levels, noise_of(0))
        return abs(float(x.std()) / spread - 1)

    errors = [error(Schedule(n, 20.0, 0.03).levels().tolist()) for n in (8, 16, 64)]
    assert errors[0] < 0.15
    assert errors[1] < 0.05
    assert errors[2] < 0.01


def test_the_steps_of_each_level():
    steps, calls = [], []

    def denoise(x, sigma, phase):
        calls.append((sigma, phase))
        return 0.5 * x

    start = torch.full(SHAPE, 3.0)
    found = follow_flow(denoise, start, [8.0, 2.0, 0.5], noise_of(3), steps.append)
    assert [step.level for step in steps] == [0, 1, 2]
    assert [step.sigma for step in steps] == [sigma for sigma, _ in calls] == [8.0, 2.0, 0.5]
    assert all(0 <= p <= 1 for _, phase in calls for p in phase)
    assert len({phase for _, phase in calls}) == 3
    assert torch.equal(found, steps[-1].denoised)
    first = start + 8 * noise_of(3)(0, "start", SHAPE)
    assert torch.equal(steps[0].denoised, 0.5 * first)
    torch.testing.assert_close(steps[0].estimate, 0.25 * first + 0.75 * 0.5 * first)


def test_one_level_gives_the_estimate():
    found = follow_flow(lambda x, sigma, phase: 0.1 * x, torch.zeros(SHAPE), [5.0], noise_of(0))
    torch.testing.assert_close(found, 0.5 * noise_of(0)(0, "start", SHAPE))


def test_a_row_has_the_same_noise_in_every_slab():
    def denoise(x, sigma, phase):
        return x / (1 + sigma**2)

    whole = follow_flow(denoise, torch.zeros(SHAPE), [8.0, 2.0, 0.5], noise_of(0))
    part = follow_flow(denoise, torch.zeros(16, 5, 16), [8.0, 2.0, 0.5], RowNoise(0, 0, range(4, 9), CPU))
    assert torch.equal(part, whole[:, 4:9])
