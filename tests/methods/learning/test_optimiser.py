"""The optimiser of all trainings: its average, continuing, and steps without a finite gradient."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn

from tomoprior.errors import InputError
from tomoprior.methods.learning.optimiser import CLIP, Optimiser
from tomoprior.methods.learning.state import NetworkState, initial_parts

DATA = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
TARGET = DATA @ torch.tensor([1.0, -2.0, 0.5])


def network():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return nn.Sequential(nn.Linear(3, 8), nn.SiLU(), nn.Linear(8, 1))


def start(state=None, **options):
    made = network()
    state = state or NetworkState(*initial_parts(made))
    return Optimiser(made, state, lambda step: 1 - 1 / step, learning_rate=0.01, **options)


def loss(optimiser, factor=1.0):
    return factor * (optimiser.network(DATA)[:, 0] - TARGET).square().mean()


def same(first, second):
    return all(torch.equal(v, second[k]) for k, v in first.items())


def test_steps_lower_the_loss_and_are_counted():
    optimiser = start()
    for _ in range(50):
        optimiser.step(loss(optimiser), 0.01)
    losses = optimiser.state.losses
    assert optimiser.state.step == len(losses) == 50
    assert losses[-1] < 0.5 * losses[0]


def test_the_average_has_the_given_decay_and_is_a_network_of_its_own():
    optimiser, seen = start(), []
    for _ in range(5):
        optimiser.step(loss(optimiser), 0.01)
        seen.append({k: v.clone() for k, v in optimiser.state.weights.items()})
    for name, average in optimiser.state.average.items():  # a decay of 1 - 1 / step is the plain mean
        torch.testing.assert_close(average, torch.stack([s[name] for s in seen]).mean(0))
    averaged = optimiser.averaged()
    assert same(averaged.state_dict(), optimiser.state.average)
    assert not averaged.training
    assert not any(p.requires_grad for p in averaged.parameters())
    optimiser.step(loss(optimiser), 0.01)
    assert not same(averaged.state_dict(), optimiser.state.average)
    assert optimiser.network.training


def test_a_training_continues_from_its_state_to_the_same_bits():
    whole = start(weight_decay=0.1)
    for _ in range(3):
        whole.step(loss(whole), 0.01)
    again = start(copy.deepcopy(whole.state), weight_decay=0.1)
    for _ in range(4):
        whole.step(loss(whole), 0.02)
        again.step(loss(again), 0.02)
    for part in ("weights", "average", "moments"):
        assert same(getattr(whole.state, part), getattr(again.state, part))
    assert again.state.losses == whole.state.losses


def test_gradients_are_clipped():
    optimiser = start()
    optimiser.step(loss(optimiser, 1e6), 0.0)
    moments = [m for name, m in optimiser.state.moments.items() if name.endswith(".m")]
    norm = math.sqrt(sum(float(m.square().sum()) for m in moments))
    assert norm == pytest.approx(0.1 * CLIP, rel=1e-4)  # the first moment is a tenth of the first gradient


@pytest.mark.parametrize("patience", [1, 3])
def test_steps_without_a_finite_gradient_are_skipped_up_to_the_patience(patience):
    optimiser = start(patience=patience)
    optimiser.step(loss(optimiser), 0.01)
    before = copy.deepcopy(optimiser.state)
    for _ in range(patience - 1):
        optimiser.step(loss(optimiser, math.nan), 0.01)
    with pytest.raises(InputError, match=r"not finite in step 2; try a learning_rate below 0\.01") as error:
        optimiser.step(loss(optimiser, math.inf), 0.01)
    assert "\n" not in str(error.value)
    assert same(before.weights, optimiser.state.weights)
    assert (optimiser.state.step, optimiser.state.losses) == (1, before.losses)


def test_a_finite_step_in_between_resets_the_patience():
    optimiser = start(patience=2)
    for _ in range(5):
        optimiser.step(loss(optimiser, math.nan), 0.01)
        optimiser.step(loss(optimiser), 0.01)
    assert optimiser.state.step == 5


def test_with_rare_looks_losses_come_together_and_bad_gradients_count_as_zero():
    optimiser = start(look_every=3, patience=2)
    optimiser.step(loss(optimiser), 0.0)
    optimiser.step(loss(optimiser, math.nan), 0.0)
    assert optimiser.state.losses == []
    optimiser.step(loss(optimiser), 0.0)
    assert (optimiser.state.step, len(optimiser.state.losses)) == (3, 2)
    assert all(torch.isfinite(v).all() for v in (*optimiser.state.weights.values(), *optimiser.state.moments.values()))
    optimiser.step(loss(optimiser), 0.0)
    optimiser.settle()
    assert len(optimiser.state.losses) == 3
    for _ in range(2):
        optimiser.step(loss(optimiser, math.nan), 0.0)
    with pytest.raises(InputError, match="not finite"):
        optimiser.settle()


def test_a_step_in_progress_is_not_consistent(monkeypatch):
    optimiser, seen = start(), []
    ordinary = Optimiser._descend
    monkeypatch.setattr(Optimiser, "_descend", lambda self, rate: seen.append(self.consistent) or ordinary(self, rate))
    optimiser.step(loss(optimiser), 0.01)
    assert (seen, optimiser.consistent) == ([False], True)
