"""The linear estimate compared with the dense solution of its equation, and the denoiser's condition."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.conditioning import FACE_STD_OFFSET, build_condition
from tomoprior.methods.diffusion.measurement_model import MeasurementModel, prepare_model
from tomoprior.methods.diffusion.scale import Scale
from tomoprior.methods.diffusion.spectrum import GaussianPrior
from tomoprior.methods.diffusion.wiener import compute_prior_mean, solve_wiener
from tomoprior.projector import Projector

SHAPE = (6, 3, 10)


@pytest.fixture(scope="module")
def tiny(spectrum):
    g = torch.Generator().manual_seed(0)
    A = Projector(Geometry(np.deg2rad(np.linspace(-50, 50, 7)), SHAPE, voxel_size=20.0, unit="nanometer"), "cpu")
    field = GaussianPrior(SHAPE, spectrum, 20.0, torch.device("cpu"))
    y = A(field.root(torch.randn(field.inner, generator=g)).contiguous())
    w = 4 * torch.rand(y.shape, generator=g) + 0.5
    w[:, :, :2] = 0
    y = (y + torch.randn(y.shape, generator=g)) * (w > 0)
    return MeasurementModel(A, y, w, 2.0, Scale(1.0, 1.0), 0, torch.ones(6, 10), torch.linspace(0.5, 1, 7))


def dense(data, spectrum, flat, inside=None):
    """``m + C A^T (A C A^T + N)^-1 (y - A m)`` with N of the noise and each tilt's brightness.

    Trust scales the inverse of N. In a section m is vacuum times what lies outside, and C is the field's times the roots of the
    probabilities that both voxels lie inside.
    """
    n = int(np.prod(data.A.domain_shape))
    eye = torch.eye(n).reshape(n, *data.A.domain_shape)
    field = GaussianPrior(data.A.domain_shape, spectrum, 20.0, torch.device("cpu"), flat=flat)
    C = torch.stack([field.root(field.root_T(e)).reshape(-1) for e in eye]).double()
    inside = torch.ones(SHAPE) if inside is None else inside.expand(SHAPE)
    m = (data.scale.vacuum_value * (1 - inside)).reshape(-1).double()
    amplitude = inside.reshape(-1).double().sqrt()
    C = amplitude[:, None] * C * amplitude
    used = data.w.reshape(-1) > 0
    A = data.A(eye).reshape(n, -1).T.double()[used]
    share = data.y[0].numel()
    blocks = [
        torch.diag(1 / (w.reshape(-1)[w.reshape(-1) > 0].double() * t)) + data.offset
        for w, t in zip(data.w, data.tilt_weights.double(), strict=True)
    ]
    assert share * len(blocks) == used.numel()
    gain = C @ A.T @ torch.linalg.inv(A @ C @ A.T + torch.block_diag(*blocks))
    return (m + gain @ (data.y.reshape(-1)[used].double() - A @ m)).reshape(SHAPE)


@pytest.mark.parametrize("flat", [False, True])
def test_it_is_the_dense_solution(tiny, spectrum, flat):
    data = replace(tiny, tilt_weights=torch.ones(7))
    want = dense(data, spectrum, flat)
    found = solve_wiener(data, spectrum, 300, tol=1e-6, flat=flat).double()
    torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-3 * float(want.abs().max()))


PROFILE = torch.tensor([0.0, 0.3, 1.0, 1.0, 0.8, 0.05])[:, None, None]


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("everywhere", [True, False])
def test_in_a_section_it_is_the_dense_solution(tiny, spectrum, flat, everywhere):
    """The probability differs from plane to plane, or from voxel to voxel."""
    data = replace(tiny, scale=Scale(1.5, 0.5))
    inside = PROFILE if everywhere else torch.rand(SHAPE, generator=torch.Generator().manual_seed(7))
    want = dense(data, spectrum, flat, inside)
    found = solve_wiener(data, spectrum, 300, tol=1e-6, inside=inside, flat=flat).double()
    torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-3 * float(want.abs().max()))
    if everywhere:  # nothing but vacuum where there is no section, whatever the tilts say
        torch.testing.assert_close(found[0], torch.full((3, 10), -3.0).double())


def test_a_section_that_fills_the_grid_is_no_section(tiny, spectrum):
    found = solve_wiener(tiny, spectrum, 40, tol=0.0, inside=torch.ones(6, 1, 1))
    torch.testing.assert_close(found, solve_wiener(tiny, spectrum, 40, tol=0.0))


def test_without_data_it_is_the_prior_mean(tiny, spectrum):
    blank = replace(tiny, w=torch.zeros_like(tiny.w), y=torch.zeros_like(tiny.y))
    found = solve_wiener(blank, spectrum, 5, inside=PROFILE)
    torch.testing.assert_close(found, compute_prior_mean(blank, PROFILE).expand(SHAPE))
    torch.testing.assert_close(compute_prior_mean(blank, PROFILE), PROFILE - 1)


def test_the_weight_of_a_tilt_divides_the_variance_of_its_noise(tiny, spectrum):
    want = dense(tiny, spectrum, False)
    found = solve_wiener(tiny, spectrum, 300, tol=1e-6).double()
    torch.testing.assert_close(found, want, rtol=1e-3, atol=1e-3 * float(want.abs().max()))
    assert float((found - solve_wiener(replace(tiny, tilt_weights=torch.ones(7)), spectrum, 300, tol=1e-6)).abs().max()) > 0.01


def test_more_iterations_come_nearer_and_the_tolerance_ends_them(tiny, spectrum):
    exact = solve_wiener(tiny, spectrum, 300, tol=1e-6)
    errors = [float((solve_wiener(tiny, spectrum, n, tol=0.0) - exact).norm()) for n in (1, 4, 12)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert torch.equal(solve_wiener(tiny, spectrum, 12, tol=1.0), torch.zeros(SHAPE))


def test_flat_slices_are_coupled_by_the_brightness_alone(tiny, spectrum):
    y = tiny.y.clone()
    y[:, 1] += (tiny.w[:, 1] > 0) * torch.randn((7, 10), generator=torch.Generator().manual_seed(4))
    known = replace(tiny, offset=1e-9, tilt_weights=torch.ones(7))

    def changed(flat):
        found, other = (solve_wiener(d, spectrum, 300, tol=1e-6, flat=flat) for d in (known, replace(known, y=y)))
        return (other - found).abs().amax((0, 2))

    assert float(changed(True)[[0, 2]].max()) < 1e-4 * float(changed(True)[1])
    assert float(changed(False)[[0, 2]].min()) > 0.1 * float(changed(False)[1])


def test_the_estimate_is_near_the_truth_where_the_data_are_good(simulated, spectrum):
    case = simulated(noise=0.05, span=120.0, tilts=61)
    data = prepare_model(case.projections, case.projector, spectrum, shift_std=0.0)
    found = data.crop(solve_wiener(data, spectrum, 100, tol=0.0))[2:-2, :, 8:-8]
    truth = case.truth[2:-2, :, 8:-8]
    assert float(np.corrcoef(found.flatten(), truth.flatten())[0, 1]) > 0.8
    assert float((found * truth).sum() / truth.square().sum()) == pytest.approx(1, abs=0.2)


def test_the_numbers_of_the_condition(case, spectrum):
    data = prepare_model(case.projections, case.projector, spectrum)
    filled = torch.ones(16, 1, 1)
    condition = build_condition(data, spectrum, filled, num_iter=5)
    low, high = case.geometry.angles.min(), case.geometry.angles.max()
    deviation = float(torch.median(data.w[data.w > 0])) ** -0.5
    want = [math.sin(low), math.sin(high), math.log(21) / 4, math.log(deviation) / 4, -data.scale.mean / data.scale.gain, 0]
    assert condition.numbers.tolist() == pytest.approx([*want, math.log(FACE_STD_OFFSET) / 2], rel=1e-5, abs=1e-6)
    uncertain = build_condition(data, spectrum, filled, 1.75, num_iter=1)
    assert float(uncertain.numbers[6]) == pytest.approx(math.log(2) / 2, rel=1e-5)
    coarser = replace(spectrum, voxel_size=spectrum.voxel_size / 2)
    assert float(build_condition(data, coarser, filled, num_iter=1).numbers[5]) == pytest.approx(math.log(2), rel=1e-5)
    assert condition.linear.shape == condition.inside.shape == data.A.domain_shape
    assert condition.coverage is data.coverage


def test_the_section_in_the_condition(case, spectrum):
    data = prepare_model(case.projections, case.projector, spectrum, thickness=9.0)
    inside = torch.linspace(0, 1, 16)[:, None, None]
    condition = build_condition(data, spectrum, inside, num_iter=5)
    assert torch.equal(condition.inside, inside.expand(data.A.domain_shape))
    torch.testing.assert_close(condition.linear, solve_wiener(data, spectrum, 5, tol=0.0, inside=inside))
    box = (slice(0, 16), slice(3, 9), slice(10, 20))
    part = condition.tile(box)
    assert torch.equal(part.linear, condition.linear[box])
    assert torch.equal(part.inside, condition.inside[box])
    assert torch.equal(part.coverage, condition.coverage[:, 10:20])
    assert part.numbers is condition.numbers
