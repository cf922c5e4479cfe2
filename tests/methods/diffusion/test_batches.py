"""A batch of series gives the same results as its series one by one."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from tomoprior.methods.diffusion import scale as scales
from tomoprior.methods.diffusion import tilt_weights
from tomoprior.methods.diffusion.conditioning import build_condition, weigh_tilts
from tomoprior.methods.diffusion.data_statistics import compute_gradient_power, estimate_noise_variance
from tomoprior.methods.diffusion.measurement_model import MeasurementModel, build_model
from tomoprior.methods.diffusion.ray_geometry import compute_padding, mark_used_rays
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.wiener import solve_wiener
from tomoprior.methods.solving import conjugate
from tomoprior.projector import Projector

THICK = torch.tensor([9.0, 12.0, 7.5])
FACE_STD = torch.tensor([0.0, 0.5, 2.0])


@dataclass
class Batch:
    """Measurement models of the same series as a batch and one by one, and their sections."""

    projections: torch.Tensor
    valid: torch.Tensor
    noise: torch.Tensor
    together: MeasurementModel
    alone: list[MeasurementModel]
    inside: torch.Tensor


@pytest.fixture(scope="module")
def batch(simulated):
    values = [(1.5, 0.4), (2.0, 1.0), (-1.0, 0.3)]
    cases = [simulated((12, 10, 40), tilts=9, mean=m, gain=g, seed=i) for i, (m, g) in enumerate(values)]
    projections = torch.stack([case.projections for case in cases])
    projections[1, 4] = projections[1, 4].roll(7, 1)
    g = cases[0].geometry
    A = Projector(g.padded(compute_padding(g)), "cpu")
    valid, noise = mark_used_rays(g, compute_padding(g)), estimate_noise_variance(projections)
    scale = Scale(torch.tensor([1.5, 2.0, -1.0]), torch.tensor([0.4, 1.0, 0.3]))

    def laid_out(which):
        variance = noise[which][..., None, None].expand(projections[which].shape).clone()
        lead = (-1, 1, 1, 1) if isinstance(which, slice) else ()
        own = Scale(scale.mean[which].reshape(lead), scale.gain[which].reshape(lead))
        mass = own.mean * THICK[which].reshape(lead)
        return build_model(projections[which], g, A, valid, variance, own, mass)

    inside = torch.rand((3, 12, 1, 1), generator=torch.Generator().manual_seed(2))
    return Batch(projections, valid, noise, laid_out(slice(None)), [laid_out(i) for i in range(3)], inside)


def same(together, alone, rtol=1e-4):
    want = torch.stack([torch.as_tensor(v) for v in alone])
    torch.testing.assert_close(together, want, rtol=rtol, atol=rtol * float(want.abs().max()))


def test_noise_and_gradients(batch):
    same(batch.noise, [estimate_noise_variance(p) for p in batch.projections])
    same(compute_gradient_power(batch.projections), [compute_gradient_power(p) for p in batch.projections])


def test_the_scale(batch, spectrum):
    g = batch.together.A.geometry
    found = scales.measure_mean_and_gain(batch.projections, batch.valid, batch.noise, g, spectrum, THICK)
    alone = [
        scales.measure_scale(p, batch.valid, n, g, spectrum, float(t))
        for p, n, t in zip(batch.projections, batch.noise, THICK, strict=True)
    ]
    assert found is not None
    same(found[0], [one.mean for one in alone])
    same(found[1], [one.gain for one in alone])


def test_a_series_without_contrast_does_not_change_the_others(batch, spectrum):
    g = batch.together.A.geometry
    spoilt = batch.projections.clone()
    spoilt[1] = 20.0
    _, gain = scales.measure_mean_and_gain(spoilt, batch.valid, batch.noise, g, spectrum)
    _, before = scales.measure_mean_and_gain(batch.projections, batch.valid, batch.noise, g, spectrum)
    assert bool(gain[1].isnan())
    assert torch.equal(gain[[0, 2]], before[[0, 2]])


def test_the_measurement_model(batch):
    for name in ("y", "w", "tilt_weights", "deviation"):
        same(getattr(batch.together, name), [getattr(one, name) for one in batch.alone])
    same(batch.together.offset.flatten(), [one.offset for one in batch.alone])
    same(batch.together.scale.vacuum_value.flatten(), [one.scale.vacuum_value for one in batch.alone])
    for one in batch.alone:
        assert torch.equal(batch.together.coverage, one.coverage)
        assert batch.together.pad == one.pad
    r = torch.randn(batch.together.y.shape, generator=torch.Generator().manual_seed(1))
    same(batch.together.weighted(r), [one.weighted(v) for one, v in zip(batch.alone, r, strict=True)])


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("num_iter", [6, 200])  # between, conjugate gradients of single precision enlarge what is rounded
def test_the_linear_estimate(batch, spectrum, flat, num_iter):
    def one(data, inside):
        return solve_wiener(data, spectrum, num_iter, tol=0.0, inside=inside, flat=flat)

    same(one(batch.together, batch.inside), [one(d, i) for d, i in zip(batch.alone, batch.inside, strict=True)], 1e-3)
    same(one(batch.together, None), [one(d, None) for d in batch.alone], 1e-3)


def test_tilt_weights(batch, spectrum):
    u = torch.randn((3, *batch.together.A.domain_shape), generator=torch.Generator().manual_seed(1))
    same(
        tilt_weights.compute_tilt_misfits(batch.together, u),
        [tilt_weights.compute_tilt_misfits(d, v) for d, v in zip(batch.alone, u, strict=True)],
    )
    same(
        tilt_weights.tilt_weights_from_misfit(batch.together, u),
        [tilt_weights.tilt_weights_from_misfit(d, v) for d, v in zip(batch.alone, u, strict=True)],
    )
    found = weigh_tilts(batch.together, spectrum, batch.inside).tilt_weights
    same(found, [weigh_tilts(d, spectrum, i).tilt_weights for d, i in zip(batch.alone, batch.inside, strict=True)], 1e-2)
    assert int(found[1].argmin()) == 4


def test_the_condition(batch, spectrum):
    found = build_condition(batch.together, spectrum, batch.inside, FACE_STD, num_iter=6)
    alone = [
        build_condition(d, spectrum, i, s, num_iter=6)
        for d, i, s in zip(batch.alone, batch.inside, FACE_STD.tolist(), strict=True)
    ]
    for name in ("linear", "inside", "numbers"):
        same(getattr(found, name), [getattr(one, name) for one in alone], 1e-3)
    assert torch.equal(found.coverage, alone[0].coverage)


def test_each_system_of_a_batch_has_its_own_steps():
    g = torch.Generator().manual_seed(0)
    scale = torch.tensor([1.0, 100.0, 1e-3])[:, None, None]
    root = torch.randn((3, 24, 24), generator=g)
    matrix = scale * (root @ root.transpose(1, 2) + torch.eye(24))
    b = torch.randn((3, 2, 3, 4), generator=g)

    def normal(which):
        return lambda x: (matrix[which] @ x.flatten(-3)[..., None])[..., 0].reshape(x.shape)

    together = conjugate.solve_positive(normal(slice(None)), torch.zeros_like(b), b.clone(), 10, 0.0)
    same(
        together, [conjugate.solve_positive(normal(i), torch.zeros_like(v), v.clone(), 10, 0.0) for i, v in enumerate(b)], 1e-3
    )
    # it goes on until the last has come as near
    exact = torch.linalg.solve(matrix, b.flatten(1)[..., None])[..., 0].reshape(b.shape)
    found = conjugate.solve_positive(normal(slice(None)), torch.zeros_like(b), b.clone(), 200, 1e-4)
    residuals = [float((normal(i)(found[i]) - b[i]).norm() / b[i].norm()) for i in range(3)]
    assert max(residuals) < 2e-4
    torch.testing.assert_close(found, exact, rtol=1e-2, atol=1e-2 * float(exact.abs().max()))


def test_a_solved_system_does_not_change():
    b = torch.stack([torch.zeros(2, 3, 4), torch.ones(2, 3, 4)])
    found = conjugate.solve_positive(lambda x: 2 * x, torch.zeros_like(b), b.clone(), 5, 0.0)
    torch.testing.assert_close(found, b / 2)
    assert bool(torch.isfinite(found).all())


def test_weighing_tilts_does_not_change_the_model(batch, spectrum):
    """The result is a new model."""
    before = batch.alone[0].tilt_weights.clone()
    after = weigh_tilts(batch.alone[0], spectrum)
    assert torch.equal(batch.alone[0].tilt_weights, before)
    assert after is not batch.alone[0]
    few = replace(batch.alone[0], y=batch.alone[0].y[:3], w=batch.alone[0].w[:3], tilt_weights=before[:3])
    assert weigh_tilts(few, spectrum) is few  # too few to judge one by the others
