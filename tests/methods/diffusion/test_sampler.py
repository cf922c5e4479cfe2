"""With an exact Gaussian prior instead of the network, the sampler gives the posterior of this prior."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.measurement_model import MeasurementModel
from tomoprior.methods.diffusion.row_noise import RowNoise
from tomoprior.methods.diffusion.sampler import Schedule, draw_sample, solve_data_step
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.spectrum import GaussianPrior, Spectrum
from tomoprior.methods.diffusion.wiener import solve_wiener
from tomoprior.projector import Projector

SHAPE = (6, 2, 10)
SPREAD = 0.5


def noise_of(sample, shape):
    return RowNoise(0, sample, range(shape[1]), torch.device("cpu"))


def measurement(seed: int = 0, noise: float = 0.5, shape=SHAPE, tilts=9) -> MeasurementModel:
    generator = torch.Generator().manual_seed(seed)
    A = Projector(Geometry(np.deg2rad(np.linspace(-50, 50, tilts)), shape), "cpu")
    truth = SPREAD * torch.randn(shape, generator=generator)
    y = A(truth)
    y = y + noise * torch.randn(y.shape, generator=generator)
    w = torch.full_like(y, noise**-2)
    w[:, :, 0] = 0
    return MeasurementModel(A, y * (w > 0), w, 0.3, Scale(0.0, 1.0), 0, torch.ones(shape[0], shape[2]), torch.ones(tilts))


def dense(data: MeasurementModel) -> tuple[torch.Tensor, torch.Tensor]:
    """``A^T W A`` of one slice and ``A^T W y``, in double precision, tilts' brightness marginalised over all slices."""
    n = data.A.domain_shape[0] * data.A.domain_shape[1] * data.A.domain_shape[2]
    eye = torch.eye(n).reshape(n, *data.A.domain_shape)
    A = data.A(eye).reshape(n, -1).T.double()
    covariance = torch.block_diag(*(torch.full((s, s), data.offset) for s in [data.y[0].numel()] * len(data.y))).double()
    w = data.w.reshape(-1).double()
    used = w > 0
    full = covariance[used][:, used] + torch.diag(1 / w[used])
    A = A[used]
    inverse = torch.linalg.inv(full)
    return A.T @ inverse @ A, A.T @ inverse @ data.y.reshape(-1)[used].double()


def test_weights_are_the_inverse_of_noise_and_brightness():
    data = measurement()
    normal, rhs = dense(data)
    x = torch.randn(SHAPE, generator=torch.Generator().manual_seed(5))
    found = data.A.T(data.weighted(data.A(x))).reshape(-1).double()
    torch.testing.assert_close(found, normal @ x.reshape(-1).double(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(data.A.T(data.weighted(data.y)).reshape(-1).double(), rhs, rtol=1e-4, atol=1e-4)


def test_the_data_step_solves_its_equation():
    data = measurement()
    normal, rhs = dense(data)
    prior = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1))
    found = solve_data_step(data, prior, 0.1, 0.7, 200)
    eye = torch.eye(len(rhs), dtype=torch.float64)
    want = torch.linalg.solve(0.7 * normal + 10 * eye, 0.7 * rhs + 10 * prior.reshape(-1).double())
    torch.testing.assert_close(found.reshape(-1).double(), want, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("num_iter", [3, 6])
def test_white_prior_gives_the_exact_posterior(num_iter):
    """Mean and variance are exact for any number of levels: both the drawing and the data step are exact here."""
    data = measurement()
    normal, rhs = dense(data)
    covariance = torch.linalg.inv(normal + torch.eye(len(rhs), dtype=torch.float64) / SPREAD**2)
    mean, variance = covariance @ rhs, covariance.diagonal()

    def denoise(x, sigma, phase):
        return x * (SPREAD**2 / (SPREAD**2 + sigma**2))

    start = torch.zeros(SHAPE)
    # started from a level so high that the volume no longer matters
    schedule = Schedule(num_iter, 30.0, 0.01)
    draws = torch.stack(
        [
            draw_sample(
                denoise,
                data,
                start,
                schedule,
                noise_of(k, SHAPE),
                error_variance=lambda s: s**2 * SPREAD**2 / (s**2 + SPREAD**2),
                num_cg=20,
            ).reshape(-1)
            for k in range(200)
        ]
    ).double()
    z = (draws.mean(0) - mean) / (variance / len(draws)).sqrt()
    assert 0.5 < float(z.square().mean()) < 1.6  # neighbouring voxels are correlated: few are independent
    assert float(z.abs().max()) < 5
    ratio = draws.var(0) / variance
    assert float(ratio.mean()) == pytest.approx(1, abs=0.03)
    assert float(ratio.std()) < 0.13  # 200 draws: sqrt(2 / 200) = 0.1


def test_coloured_prior_gives_the_wiener_mean():
    shape = (8, 8, 16)
    spectrum = Spectrum((0.02, 0.1, 0.5), (40.0, 8.0, 0.05), 1.0)
    prior = GaussianPrior(shape, spectrum, 1.0, torch.device("cpu"))
    truth = prior.root(torch.randn(prior.inner, generator=torch.Generator().manual_seed(3)))
    A = Projector(Geometry(np.deg2rad(np.linspace(-60, 60, 21)), shape), "cpu")
    y = A(truth) + 0.3 * torch.randn(A.range_shape, generator=torch.Generator().manual_seed(4))
    w = torch.full_like(y, 0.3**-2)
    data = MeasurementModel(A, y, w, 1e-4, Scale(0.0, 1.0), 0, torch.ones(8, 16), torch.ones(21))
    n = int(np.prod(shape))
    # the prior's covariance on the grid, exactly
    eye = torch.eye(n).reshape(n, *shape)
    C = torch.stack([prior.root(prior.root_T(e)).reshape(-1) for e in eye]).double()
    values, vectors = torch.linalg.eigh(C)

    def denoise(x, sigma, phase):
        shrink = values.clamp_min(0) / (values.clamp_min(0) + sigma**2)
        return (vectors @ (shrink * (vectors.T @ x.reshape(-1).double()))).float().reshape(shape)

    def unknown(sigma):
        return float((values.clamp_min(0) * sigma**2 / (values.clamp_min(0) + sigma**2)).mean())

    draws = torch.stack(
        [
            draw_sample(
                denoise,
                data,
                torch.zeros(shape),
                Schedule(30, 10.0, 0.02),
                noise_of(k, shape),
                error_variance=unknown,
            )
            for k in range(12)
        ]
    )
    want = solve_wiener(data, spectrum, 200, tol=1e-6)
    mean = draws.mean(0)
    # twelve draws leave a twelfth of the variance in their mean
    found, best = ((m - truth).square().mean().sqrt() for m in (mean, want))
    expected = (draws.var(0).mean() / 12 + best**2).sqrt()
    assert float(found) < 1.1 * float(expected)
    assert float((mean - want).square().mean().sqrt()) < 0.6 * float(best)
    # what the samples differ by is what the mean is wrong by
    assert 0.6 < float(draws.var(0).mean() / (want - truth).square().mean()) < 1.5
