"""A tilt that does not agree with the others gets little weight; the others keep theirs."""

from __future__ import annotations

import pytest
import torch

from tomoprior.methods.diffusion import tilt_weights
from tomoprior.methods.diffusion.measurement_model import prepare_model
from tomoprior.methods.diffusion.posterior_slab import PosteriorSlab, RunningMoments
from tomoprior.methods.diffusion.section import section_from_faces
from tomoprior.methods.diffusion.settings import DiffusionSettings
from tomoprior.methods.diffusion.wiener import solve_wiener


def moved(case, tilt, pixels):
    p = case.projections.clone()
    p[tilt] = p[tilt].roll(pixels, 1)
    return p


def slab(case, prior, projections, **settings):
    nz, ny, _ = case.geometry.shape
    filled = section_from_faces(nz, (0.0, float(nz)), 0.0, projections.device)
    return PosteriorSlab(projections, case.projector, prior, DiffusionSettings(**settings), filled, rows=range(ny))


@pytest.mark.parametrize(("tilt", "pixels"), [(10, 6), (7, -9)])
def test_a_shifted_tilt_gets_little_weight(case, prior, tilt, pixels):
    found = slab(case, prior, moved(case, tilt, pixels)).data.tilt_weights
    assert float(found[tilt]) < 0.2
    others = torch.cat([found[:tilt], found[tilt + 1 :]])
    assert float(others.min()) > 0.5
    assert float(others.max()) <= 1


def test_without_robust_all_tilts_have_weight_one(case, prior):
    assert bool((slab(case, prior, moved(case, 10, 6), robust=False).data.tilt_weights == 1).all())


def test_tilts_of_a_good_series_keep_their_weight(case, prior):
    found = slab(case, prior, case.projections).data.tilt_weights
    assert float(found.min()) > 0.5
    assert float(found.mean()) > 0.85


def test_less_weight_for_a_spoilt_tilt_improves_the_estimate(case, prior):
    """The estimate is nearer to that of the good series."""
    good = slab(case, prior, case.projections, robust=False).condition.linear
    spoilt = moved(case, 10, 6)
    errors = [float((slab(case, prior, spoilt, robust=robust).condition.linear - good).norm()) for robust in (True, False)]
    assert errors[0] < 0.5 * errors[1]


def test_a_tilts_brightness_is_no_misfit(case, spectrum):
    data = prepare_model(case.projections, case.projector, spectrum)
    u = solve_wiener(data, spectrum, 12, tol=0.0)
    before = tilt_weights.compute_tilt_misfits(data, u)
    constant = data.offset**0.5 * torch.linspace(-1, 1, len(data.y))[:, None, None] * (data.w > 0)
    data.y += constant
    torch.testing.assert_close(tilt_weights.compute_tilt_misfits(data, u), before, rtol=0.05, atol=0.02)


def test_misfits_are_in_units_of_the_expected_noise(case, spectrum):
    data = prepare_model(case.projections, case.projector, spectrum)
    u = torch.zeros(data.A.domain_shape)
    noise = torch.randn(data.y.shape, generator=torch.Generator().manual_seed(0))
    data.y = torch.where(data.w > 0, noise * data.w.clamp_min(1e-20).rsqrt(), torch.zeros_like(noise))
    found = tilt_weights.compute_tilt_misfits(data, u)
    assert float(found.mean()) == pytest.approx(0.97, abs=0.05)  # 1, but for the few beyond two deviations
    assert bool((tilt_weights.tilt_weights_from_misfit(data, u) > 0.8).all())
    data.y *= 10  # what all tilts share is no tilt's fault
    assert bool((tilt_weights.tilt_weights_from_misfit(data, u) > 0.7).all())
    data.y[4] *= 3
    assert float(tilt_weights.tilt_weights_from_misfit(data, u)[4]) < 0.2


def test_moments_are_those_of_numpy():
    values = torch.randn((7, 3, 4, 5), generator=torch.Generator().manual_seed(0)) + 100
    moments = RunningMoments()
    for i, x in enumerate(values):
        assert (moments.variance() is None) == (i < 2)
        moments.add(x)
    torch.testing.assert_close(moments.mean, values.mean(0))
    torch.testing.assert_close(moments.variance(), values.var(0), rtol=1e-3, atol=1e-4)
