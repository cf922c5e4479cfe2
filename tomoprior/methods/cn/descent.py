"""Fit one network to its slab by Adam.

Every iteration evaluates the network on all voxels, projects the volume, computes the derivative of the loss with respect to
the volume through the projector's adjoint, and propagates it back through the network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from tomoprior.methods.cn import losses, schedule
from tomoprior.methods.cn.grid_evaluation import GridEvaluation
from tomoprior.methods.cn.held_out import split_weights
from tomoprior.methods.cn.network import CoordinateNetwork
from tomoprior.methods.cn.settings import NetworkSettings
from tomoprior.methods.solving.problem import TINY, Problem

#: Decay of Adam's averages, by preset. The second decay of the paper (torch's default) forgets the first steps too slowly for
#: a few hundred iterations.
BETAS = {"fast": (0.9, 0.99), "paper": (0.9, 0.999)}

#: Called with the number of the iteration, from 1, and its ``loss``, ``residual`` and, with held-out tilts, ``held_out``.
Report = Callable[[int, dict[str, float]], None]


@dataclass(frozen=True)
class Scales:
    """Numbers that the networks of all slabs of a volume share.

    Attributes
    ----------
    contrast
        Height of typical contrast, per voxel.
    unit
        Density per voxel of an output of one.
    spread
        Standard deviation of the projections.
    background
        Level per voxel that the outputs are added to.
    level
        Mean value per voxel above the background, with which a new network starts. None: it starts with its random bias.
    """

    contrast: float
    unit: float
    spread: float
    background: float
    level: float | None


class Descent:
    """A network, the problem of its slab, and the best weights so far.

    Parameters
    ----------
    problem
        The problem of the slab only.
    reg_par
        Strength of the regulariser for a fit of all tilts.
    start
        Network whose weights are the start, or None.
    held_out
        Hold out every fifth tilt: the best weights are then those that predict these tilts best, else those of least loss.

    Attributes
    ----------
    best_score, best_iteration
        Score of the best weights, and their iteration, which counts from 0.
    """

    def __init__(
        self,
        problem: Problem,
        settings: NetworkSettings,
        reg_par: float,
        scales: Scales,
        start: CoordinateNetwork | None,
        *,
        held_out: bool,
    ) -> None:
        self.problem, self.settings, self.scales = problem, settings, scales
        self.weights, self.held_out_weights = problem.weights, None
        if held_out:
            self.weights, self.held_out_weights = split_weights(problem)
            # the same ratio of penalty to data with fewer tilts
            reg_par *= float(self.weights.sum() / (self.weights + self.held_out_weights).sum())
        geometry, device = problem.A.geometry, problem.data.device
        self.network = CoordinateNetwork(settings, geometry.shape).to(device)
        if start is not None:
            self.network.load_state_dict(start.state_dict())
        elif scales.level is not None:
            self.network.set_initial_output(scales.level / scales.unit)
        self.grid = GridEvaluation(self.network, device)
        self.loss = losses.make_loss(settings, scales.spread or 1.0)
        self.regulariser = losses.make_regulariser(settings, reg_par, scales.contrast)
        # Adam is independent of scale, except for its epsilon: this makes derivatives about one for any unit of the projections
        self.slope_scale = geometry.n_angles * (1.0 if settings.loss == "l1" else scales.contrast)
        self.best_score, self.best_iteration = float("inf"), 0
        self._best: list[torch.Tensor] = []

    def volume(self) -> torch.Tensor:
        """Return the slab of the field at the current weights, shape ``problem.A.domain_shape``."""
        values = self.grid.values(graph=False)
        return self._density(values.clamp_(min=0.0) if self.settings.output == "clip" else values)

    def run(self, steps: int, num_iter: int, learning_rate: float, report: Report) -> None:
        """Run the first ``steps`` iterations of a schedule of ``num_iter``; an exception from ``report`` ends them."""
        adam = self._optimiser(learning_rate)
        base = [group["lr"] for group in adam.param_groups]
        for step in range(steps):
            for group, value in zip(adam.param_groups, base, strict=True):
                group["lr"] = value * schedule.learning_rate_factor(step, num_iter, self.settings.decay)
            values, slope = self._evaluate()
            self._record_score(values, step)
            report(step + 1, values)
            adam.zero_grad(set_to_none=True)
            self.grid.backward(slope)
            adam.step()

    def keep_best(self) -> None:
        """Keep the weights of the last step if they are the best; else restore the best ones."""
        if self.misfit() <= self.best_score:
            self._store_best()
        else:
            self.restore()

    def restore(self) -> bool:
        """Restore the best weights; return False if no iterate exists yet."""
        with torch.no_grad():
            for p, best in zip(self.network.parameters(), self._best, strict=False):
                p.copy_(best)
        return bool(self._best)

    def misfit(self) -> float:
        """Return the loss of all tilts with the penalty of this fit. Negative outputs count, as they do during the fit."""
        x = self._density(self.grid.values(graph=False))
        loss, _ = self.loss(self.problem.A(x).sub_(self.problem.data), self.problem.weights)
        return float(loss if self.regulariser is None else loss + self.regulariser(x, torch.zeros_like(x)))

    def _density(self, values: torch.Tensor) -> torch.Tensor:
        return self.problem.apply_mask_((values * self.scales.unit).add_(self.scales.background))

    def _optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        encoder = list(self.network.encoder.parameters())
        decoder = [*self.network.hidden.parameters(), *self.network.output.parameters()]
        groups: list[dict[str, Any]] = [{"params": decoder, "lr": learning_rate}]
        if encoder:
            groups.append({"params": encoder, "lr": learning_rate * self.network.encoder.rate})
        betas = BETAS[self.settings.preset]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, weight_decay=0.0, amsgrad=self.settings.amsgrad)

    def _evaluate(self) -> tuple[dict[str, float], torch.Tensor]:
        """Return loss and residual at the current weights, and the derivative of the loss with respect to the outputs."""
        problem = self.problem
        x = self._density(self.grid.values())
        r = problem.A(x).sub_(problem.data)
        loss, slope = self.loss(r, self.weights)
        g = problem.A.T(slope)
        if self.regulariser is not None:
            loss = loss + self.regulariser(x, g)
        values = {"loss": float(loss), "residual": _relative_norm(r, problem.data, self.weights)}
        if self.held_out_weights is not None:
            values["held_out"] = _relative_norm(r, problem.data, self.held_out_weights)
        return values, problem.apply_mask_(g).div_(self.slope_scale)

    def _record_score(self, values: dict[str, float], step: int) -> None:
        score = values.get("held_out", values["loss"])
        if score < self.best_score or not self._best:
            self.best_score, self.best_iteration = score, step
            self._store_best()

    def _store_best(self) -> None:
        """Store the current weights as the best."""
        weights = [p.detach() for p in self.network.parameters()]
        if not self._best:
            self._best = [torch.empty_like(p) for p in weights]
        torch._foreach_copy_(self._best, weights)


def _relative_norm(r: torch.Tensor, data: torch.Tensor, weights: torch.Tensor | None) -> float:
    """Return ``||W^(1/2) r|| / ||W^(1/2) p||``."""
    if weights is None:
        top, bottom = torch.linalg.vector_norm(r), torch.linalg.vector_norm(data)
    else:
        top, bottom = (r * r * weights).sum().sqrt(), (data * data * weights).sum().sqrt()
    return float(top / bottom.clamp(min=TINY))
