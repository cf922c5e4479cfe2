from __future__ import annotations

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tomoprior.errors import TomopriorError
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.learning.optimiser import CLIP
from tomoprior.training.optimiser import GAMMA, PATIENCE, PLANES, Training, initial_state, new_denoiser
from tomoprior.training.tiles import cut_batch


@pytest.fixture
def start(settings, spectrum):
    """A training before its first step."""

    def call(denoiser=None, **changes):
        changed = settings.model_copy(update=changes)
        denoiser = denoiser or new_denoiser(changed, spectrum)
        return Training(denoiser, initial_state(denoiser), changed, spectrum, None)

    return call


@pytest.fixture
def run(start, draws, blocks):
    made = start()
    made.state.draws, made.state.blocks, made.state.drawn = list(draws), list(blocks), len(draws)
    return made


def tiles(run, step):
    return cut_batch(run.state.draws, run.state.blocks, run.settings, step)


def copied(values):
    return {k: v.detach().clone() for k, v in values.items()}


def test_the_first_weights_depend_on_the_seed_alone_and_disturb_nothing(settings, spectrum):
    before = torch.get_rng_state()
    first, again = new_denoiser(settings, spectrum), new_denoiser(settings, spectrum)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    other = new_denoiser(settings.model_copy(update={"seed": 1}), spectrum)
    assert not all(torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


@pytest.mark.parametrize("decay", [0.0, 5.0])
def test_steps_are_those_of_adam_with_clipped_gradients_and_decay(start, run, draws, blocks, decay):
    """Loshchilov and Hutter 2019: moments of gradients cut to a norm, and weights that shrink by the rate times the decay."""
    made = start(weight_decay=decay)
    made.state.draws, made.state.blocks = run.state.draws, run.state.blocks
    other = start(copy.deepcopy(made.optimiser.network))
    first = {k: torch.zeros_like(p) for k, p in other.optimiser.parameters.items()}
    second = copied(first)
    for i in range(6):
        made.step(i / 6)
        other.optimiser.network.zero_grad()
        other._loss(tiles(run, i)).backward()
        norm = math.sqrt(sum(float(p.grad.square().sum()) for p in other.optimiser.parameters.values() if p.grad is not None))
        rate = made.learning_rate(i / 6, i + 1)
        for name, p in other.optimiser.parameters.items():
            g = p.grad * min(1.0, CLIP / norm)
            first[name] = 0.9 * first[name] + 0.1 * g
            second[name] = 0.99 * second[name] + 0.01 * g**2
            with torch.no_grad():
                p *= 1 - rate * decay
                p -= rate * (first[name] / (1 - 0.9 ** (i + 1))) / ((second[name] / (1 - 0.99 ** (i + 1))).sqrt() + 1e-8)
    for name, p in made.optimiser.parameters.items():
        torch.testing.assert_close(p, other.optimiser.parameters[name], atol=2e-6, rtol=1e-4, msg=name)
        torch.testing.assert_close(made.state.moments[f"{name}.m"], first[name], atol=1e-6, rtol=1e-3)


def test_a_training_continues_with_the_moments_of_its_state(start, run, settings, spectrum):
    for _ in range(3):
        run.step(0.1)
    state = copy.deepcopy(run.state)
    again = Training(new_denoiser(settings, spectrum), state, settings, spectrum, None)
    for _ in range(3):
        run.step(0.2)
        again.step(0.2)
    assert all(torch.equal(v, state.weights[k]) for k, v in run.state.weights.items())
    assert all(torch.equal(v, state.average[k]) for k, v in run.state.average.items())


def test_the_average_is_a_mean_with_weights_that_grow_as_a_power(run):
    seen = []
    for i in range(9):
        run.step(i / 9)
        seen.append(copied(run.optimiser.parameters))
    # of t^gamma, the share of each step: between one step and the next the weights stay as they are
    edges = np.arange(10.0) ** (GAMMA + 1)
    share = np.diff(edges) / edges[-1]
    assert share.sum() == pytest.approx(1)
    for name, average in run.state.average.items():
        mean = sum(w * s[name].double() for w, s in zip(share, seen, strict=True))
        torch.testing.assert_close(average.double(), mean, atol=1e-6, rtol=1e-5)


def test_the_rate_rises_over_the_first_steps_and_falls_along_half_a_cosine(run, settings):
    highest, lowest = settings.learning_rate, settings.learning_rate_end
    for share, rate in ((0.0, highest), (0.5, (highest + lowest) / 2), (1.0, lowest), (1.7, lowest)):
        assert run.learning_rate(share, settings.warm_up) == pytest.approx(rate)
    assert run.learning_rate(0.0, 1) == pytest.approx(highest / settings.warm_up)


def test_draws_come_in_when_they_are_due_and_the_oldest_goes(start, draws, blocks):
    run = start(group=2)
    made = SimpleNamespace(draws=lambda i: [f"draw {i}a", f"draw {i}b"], blocks=lambda i: [f"block {i}"])
    state = run.state
    run.refill(made)
    assert (state.drawn, state.draws, state.blocks) == (1, ["draw 0a", "draw 0b"], ["block 0"])
    run.refill(made)
    assert state.drawn == 1
    state.step = run.every
    run.refill(made)
    assert (state.drawn, state.draws, state.blocks) == (2, ["draw 1a", "draw 1b"], ["block 0", "block 1"])  # keep=2
    state.step = 10 * run.every
    run.refill(made)
    assert (state.drawn, state.draws, state.blocks) == (11, ["draw 10a", "draw 10b"], ["block 9", "block 10"])


def test_a_voxel_of_a_draw_is_seen_as_often_as_set(start):
    # a draw of 16 x 16 x 32 voxels is two tiles
    assert start(group=1, batch_size=1, reuse=4).every == 8
    assert start(group=3, batch_size=1, reuse=4).every == 24
    assert start(group=1, batch_size=4, reuse=4).every == 2
    assert start(group=1, batch_size=4, reuse=0.1).every == 1


def test_without_a_share_for_them_no_blocks_are_made(start, simulator):
    run = start(free=0.0)
    run.refill(simulator)
    assert (len(run.state.draws), run.state.blocks) == (1, [])
    run.step(0.0)
    assert run.state.step == 1


def test_weights_stay_when_a_gradient_is_not_finite(run, draws):
    before = copied(run.state.weights)
    run.state.draws, run.state.blocks = [replace(d, truth=d.truth * math.nan) for d in draws], []
    for _ in range(PATIENCE - 1):
        run.step(0.0)
    with pytest.raises(TomopriorError, match="gradient is not finite"):
        run.step(0.0)
    assert run.state.step == 0
    assert run.state.losses == []
    assert all(torch.equal(before[k], v) for k, v in run.state.weights.items())
    assert all(torch.isfinite(v).all() for v in run.state.moments.values())


def test_a_single_step_without_a_finite_gradient_is_left_out(run, draws):
    whole, run.state.blocks = run.state.draws, []
    for _ in range(3 * PATIENCE):  # never so many in a row
        run.state.draws = [replace(d, truth=d.truth * math.nan) for d in draws]
        run.step(0.0)
        run.state.draws = whole
        run.step(0.0)
    assert run.state.step == 3 * PATIENCE
    assert len(run.state.losses) == run.state.step
    assert all(math.isfinite(v) for v in run.state.losses)


def test_the_loss_falls_below_that_of_a_network_that_knows_nothing(start, run):
    tests = [tiles(run, 10_000 + i) for i in range(24)]

    def loss(denoiser):
        with torch.no_grad():
            return sum(float(start(denoiser)._loss(b)) for b in tests) / len(tests)

    nothing = loss(start().optimiser.network)
    for i in range(160):
        run.step(i / 160)
    assert loss(run.averaged()) < 0.95 * nothing


def test_the_loss_counts_what_is_inside_and_what_planes_share_a_fifth(run, draws):
    c = draws[0].condition
    thin = replace(
        draws[0], truth=draws[0].truth[:6], condition=Condition(c.linear[:6], c.inside[:6], c.coverage[:6], c.numbers)
    )
    made = cut_batch([thin], [], run.settings, 0)
    inside = (made.depth[0].abs() < 1).nonzero()[:, 0]
    size = torch.tensor([0.3])

    def loss(error):
        run.optimiser.network = lambda *_: (made.truth + error, size)
        return float(run._loss(made)) * 0.3**2

    nothing = torch.zeros_like(made.truth)
    assert loss(nothing) == 0
    shared, stripes, outside = nothing.clone(), nothing.clone(), nothing.clone()
    shared[:, inside] = 0.5
    stripes[:, inside, :, ::2], stripes[:, inside, :, 1::2] = 0.5, -0.5
    outside[:, : inside[0]] = 7.0
    assert PLANES == 0.2
    assert loss(shared) == pytest.approx(PLANES * 0.25, rel=1e-4)
    assert loss(stripes) == pytest.approx(0.25, rel=1e-4)
    assert loss(outside) == 0


@pytest.mark.parametrize("level", [0.5, 2.0])  # of less noise a tile that goes on periodically leaves more
def test_a_network_that_has_learned_nothing_has_a_loss_of_about_one(start, simulator, level):
    """In units of the error that the linear denoiser leaves."""
    run = start(log_sigma=(math.log(level), 0.0), batch_size=4)
    filled = [simulator.filled_block(i) for i in range(4)]
    with torch.no_grad():
        found = [float(run._loss(cut_batch([], filled, run.settings, step))) for step in range(4)]
    assert 0.5 < np.mean(found) < 2
