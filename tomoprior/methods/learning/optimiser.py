"""A step of a training: Adam with clipped gradients, and a running average of the weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Generic, TypeVar

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from tomoprior.errors import InputError
from tomoprior.methods.learning.state import NetworkState

#: Decays of Adam's moments, and the number that keeps it from dividing by zero.
BETAS, EPSILON = (0.9, 0.99), 1e-8

#: Gradients are clipped to this norm.
CLIP = 1.0

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class Optimiser(Generic[AnyNetwork]):
    """Adam, clipping and averaging for a network; every step changes its state in place.

    A training that continues from a saved state takes the same steps, bit for bit on the CPU: moments and average are the
    state's own arrays.

    Parameters
    ----------
    network
        Takes the weights of the state.
    state
        Weights, average, moments, and the number of finished steps.
    decay
        Weight of the old average in step ``n``, counted from 1.
    weight_decay
        Share of the weights, times the learning rate, that a step takes off (AdamW).
    patience
        Steps in a row without a finite gradient after which the training ends with an error; fewer are skipped.
    look_every
        Steps between two looks at losses and gradients, for which a GPU has to wait. With more than 1, gradient values that are
        not finite count as zero.
    """

    def __init__(
        self,
        network: AnyNetwork,
        state: NetworkState,
        decay: Callable[[int], float],
        *,
        learning_rate: float,
        weight_decay: float = 0.0,
        patience: int = 1,
        look_every: int = 1,
    ) -> None:
        network.load_state_dict(state.weights)
        state.weights = dict(network.state_dict())
        self.network, self.state = network.train(), state
        self.patience, self.look_every = patience, look_every
        self.parameters = dict(network.named_parameters())
        self.device = next(iter(self.parameters.values())).device
        #: Steps in a row that were skipped.
        self.skipped = 0
        #: False while a step changes the state.
        self.consistent = True
        self._decay = decay
        self._pending: list[tuple[torch.Tensor, torch.Tensor]] = []
        cuda = self.device.type == "cuda"
        self._adam = torch.optim.AdamW(
            self.parameters.values(), lr=learning_rate, betas=BETAS, eps=EPSILON, weight_decay=weight_decay, fused=cuda
        )
        for name, p in self.parameters.items():
            self._adam.state[p] = {
                "step": torch.tensor(float(state.step), device=self.device if cuda else "cpu"),
                "exp_avg": state.moments[f"{name}.m"],
                "exp_avg_sq": state.moments[f"{name}.v"],
            }
        self._average = AveragedModel(network, multi_avg_fn=self._update_average)
        self._average.module.load_state_dict(state.average)
        self._average.n_averaged.fill_(1)  # at 0 the first update would replace the average  # type: ignore[operator]
        state.average = dict(self._average.module.state_dict())

    def step(self, loss: torch.Tensor, learning_rate: float) -> None:
        """Take a step against the gradient of a loss, or skip it if the gradient is not finite.

        Raises
        ------
        InputError
            If ``patience`` steps in a row have no finite gradient. Unless looks are rare the weights are then as before.
        """
        self._adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), CLIP)
        if self.look_every > 1:
            for p in self.parameters.values():
                if p.grad is not None:
                    p.grad.nan_to_num_(0.0, 0.0, 0.0)
        elif not math.isfinite(float(norm)):
            self._skip(learning_rate)
            return
        self.consistent = False
        self._descend(learning_rate)
        self.state.step += 1
        self._pending.append((loss.detach(), norm))
        if len(self._pending) >= self.look_every:
            self.settle()
        self.consistent = True

    def settle(self) -> None:
        """Add the losses of the steps since the last time to the state; waits for the device.

        Raises
        ------
        InputError
            If ``patience`` steps in a row had no finite gradient.
        """
        pending, self._pending = self._pending, []
        for loss, norm in pending:
            if math.isfinite(float(norm)):
                self.skipped = 0
                self.state.losses.append(float(loss))
            else:
                self._skip(self._adam.param_groups[0]["lr"])

    def averaged(self) -> AnyNetwork:
        """Return a network with the running average of the weights, ready for use on the training's device."""
        network: AnyNetwork = copy.deepcopy(self._average.module)  # type: ignore[assignment]
        return network.eval().requires_grad_(False)

    def _descend(self, learning_rate: float) -> None:
        self._adam.param_groups[0]["lr"] = learning_rate
        self._adam.step()
        self._average.update_parameters(self.network)

    def _update_average(self, averages: Any, weights: Any, _: Any) -> None:
        share = 1 - self._decay(self.state.step + 1)
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight, share)

    def _skip(self, learning_rate: float) -> None:
        self.skipped += 1
        if self.skipped >= self.patience:
            raise InputError(
                f"the gradient is not finite in step {self.state.step + 1}; try a learning_rate below {learning_rate:g}"
            )
