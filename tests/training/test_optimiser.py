from __future__ import annotations

import copy
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from tomoprior.errors import TomopriorError
from tomoprior.methods.diffusion.denoiser import loss_weight
from tomoprior.training.draws import Draw
from tomoprior.training.optimiser import CLIP, GAMMA, PLANES, Training, begin, fresh
from tomoprior.training.tiles import batch


@pytest.fixture
def run(settings, draws):
    denoiser = fresh(settings)
    state = begin(denoiser)
    state.draws, state.drawn = list(draws), len(draws)
    return Training(denoiser, state, settings, None)


def copied(values):
    return {k: v.detach().clone() for k, v in values.items()}


def test_the_first_weights_depend_on_the_seed_alone_and_disturb_nothing(settings):
    before = torch.get_rng_state()
    first, again = fresh(settings), fresh(settings)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = fresh(settings.model_copy(update={"seed": 1}))
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_steps_are_those_of_adam_with_clipped_gradients(run, settings):
    twin = copy.deepcopy(run.denoiser)
    other = Training(twin, begin(twin), settings, None)
    adam = torch.optim.Adam(twin.parameters(), lr=1.0, betas=(0.9, 0.99), eps=1e-8)
    for i in range(6):
        adam.zero_grad()
        other._loss(batch(run.state.draws, settings, i)).backward()
        torch.nn.utils.clip_grad_norm_(twin.parameters(), CLIP)
        run.step(i / 6)
        adam.param_groups[0]["lr"] = run.rate(i / 6)
        adam.step()
    for (name, p), q in zip(run.denoiser.named_parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=1e-5, msg=name)


def test_the_average_is_a_mean_with_weights_that_grow_as_a_power(run):
    seen = []
    for i in range(9):
        run.step(i / 9)
        seen.append(copied(run.parameters))
    # of t^gamma, the share of each step: between one step and the next the weights stay as they are
    edges = np.arange(10.0) ** (GAMMA + 1)
    share = np.diff(edges) / edges[-1]
    assert share.sum() == pytest.approx(1)
    for name, average in run.state.average.items():
        mean = sum(w * s[name].double() for w, s in zip(share, seen, strict=True))
        torch.testing.assert_close(average.double(), mean, atol=1e-6, rtol=1e-5)


def test_the_rate_rises_over_the_first_steps_and_falls_along_half_a_cosine(run, settings):
    run.state.step = settings.warm_up
    assert run.rate(0.0) == pytest.approx(settings.rate)
    assert run.rate(0.5) == pytest.approx((settings.rate + settings.rate_end) / 2)
    assert run.rate(1.0) == pytest.approx(settings.rate_end)
    assert run.rate(1.7) == pytest.approx(settings.rate_end)
    run.state.step = 1
    assert run.rate(0.0) == pytest.approx(settings.rate / settings.warm_up)


def test_draws_come_in_when_they_are_due_and_the_oldest_goes(run, settings, draws):
    state = run.state
    state.draws, state.drawn = [], 0
    made = iter([*draws, *draws])
    assert run.refill(made)
    assert state.drawn == 2
    state.step = run.every
    assert run.refill(made)
    assert [id(d) for d in state.draws] == [id(d) for d in draws[1:]]  # keep=2
    state.step = 10 * run.every
    assert not run.refill(made)  # it ended, and what there was has been taken in
    assert state.drawn == 6


def test_weights_stay_when_a_gradient_is_not_finite(run, draws):
    before = copied(run.state.weights)
    run.state.draws = [replace(d, truth=d.truth * math.nan) for d in draws]
    with pytest.raises(TomopriorError, match="no finite gradient"):
        run.step(0.0)
    assert run.state.step == 0
    assert all(torch.equal(before[k], v) for k, v in run.state.weights.items())
    assert all(torch.isfinite(v).all() for v in run.state.moments.values())


def test_the_loss_falls_below_that_of_a_network_that_knows_nothing(run, settings):
    tests = [batch(run.state.draws, settings, 10_000 + i) for i in range(24)]

    def loss(denoiser):
        with torch.no_grad():
            return sum(float(Training(denoiser, begin(denoiser), settings, None)._loss(b)) for b in tests) / len(tests)

    nothing = loss(fresh(settings))
    for i in range(160):
        run.step(i / 160)
    assert loss(run.averaged()) < 0.95 * nothing


def test_the_loss_counts_what_is_inside_and_what_planes_share_a_tenth(run, settings, draws):
    thin = Draw(draws[0].truth[:6], replace(draws[0].condition, linear=draws[0].condition.linear[:6],
                                            coverage=draws[0].condition.coverage[:6]))  # fmt: skip
    made = batch([thin], settings, 0)
    weight = float(loss_weight(made.sigma)[0])
    inside = (made.depth[0].abs() < 1).nonzero()[:, 0]

    def loss(error):
        run.denoiser = lambda *_: made.truth + error
        return float(run._loss(made)) / weight

    nothing = torch.zeros_like(made.truth)
    assert loss(nothing) == 0
    shared, stripes, outside = nothing.clone(), nothing.clone(), nothing.clone()
    shared[:, inside] = 0.5
    stripes[:, inside, :, ::2], stripes[:, inside, :, 1::2] = 0.5, -0.5
    outside[:, : inside[0]] = 7.0
    assert loss(shared) == pytest.approx(PLANES * 0.25, rel=1e-4)
    assert loss(stripes) == pytest.approx(0.25, rel=1e-4)
    assert loss(outside) == 0
