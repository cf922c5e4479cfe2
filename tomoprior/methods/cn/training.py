"""Fitting networks to projections by Adam: Van Veen et al., Int. J. Mol. Sci. 25 (2024) 5473, eq. 1.

Of a slab, every iteration: evaluate the network on all voxels, project, take the derivative of the loss with respect to the
volume through the projector's adjoint, and hand it to the network.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError, Interrupted
from tomoprior.methods.base import Progress
from tomoprior.methods.classical import strength
from tomoprior.methods.classical.problem import Problem
from tomoprior.methods.cn import levels, losses, schedule
from tomoprior.methods.cn.network import CoordinateNetwork, NetworkField, Part
from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.cn.voxels import ACTIVATIONS as ACTIVATIONS
from tomoprior.methods.cn.voxels import OnVoxels

#: Decay of Adam's averages. The second one of the paper's (torch's default) forgets the first steps too slowly for
#: a few hundred iterations.
BETAS = {"fast": (0.9, 0.99), "paper": (0.9, 0.999)}

History = dict[str, list[float]]
Result = tuple[NetworkField, torch.Tensor, History]


def train(
    problem: Problem,
    settings: CNSettings,
    reg_par: float,
    progress: Progress | None = None,
    *,
    background: float = 0.0,
) -> Result:
    """Fit one network or, slab by slab along y, several of them.

    Parameters
    ----------
    problem
        Padded projector, projections, weights and mask. Its volume must be zero: a network cannot start from one.
    reg_par
        Strength of the regulariser against the problem's weights (``Problem.w_scale``).
    progress
        Called once an iteration; ``iteration`` counts over all networks. Where ``settings.stop`` ends a fit early, it jumps.
    background
        Level per voxel that the networks' outputs are added to.

    Returns
    -------
    field
        The fitted field.
    volume
        The field on the padded grid, ``problem.A.domain_shape``, in the projector's layout.
    history
        ``loss``, ``residual`` (``||W^(1/2) (p - A x)|| / ||W^(1/2) p||`` of the slab at hand) and, with ``stop="held-out"``,
        ``held_out`` (the same of the tilts left out) of every iterate, and ``iterations`` that each network was then given.

    Raises
    ------
    InputError
        For a problem that cannot be cut into slabs, a starting volume, or a loss that is no longer finite.
    Interrupted
        For a KeyboardInterrupt; ``result`` is as above, with what was best so far.
    """
    if bool(problem.x.any()):
        raise InputError("a network cannot start from a volume; leave initial out, or use encoder=spline")
    run = _Run(problem, settings, reg_par, progress, background)
    try:
        run.fit()
    except KeyboardInterrupt:
        raise Interrupted(run.result()) from None
    return run.result()


class _Run:
    """All that the fits of one call share, and what they have led to so far."""

    def __init__(
        self, problem: Problem, settings: CNSettings, reg_par: float, progress: Progress | None, background: float
    ) -> None:
        self.problem, self.settings, self.reg_par, self.background = problem, settings, reg_par, background
        self.progress = progress
        self.history: History = {"loss": [], "residual": []}
        geometry, device = problem.A.geometry, problem.p.device
        nz, ny, nx = geometry.shape
        self.volume = torch.empty(nz, nx, ny, device=device).permute(0, 2, 1).fill_(background)
        problem.masked(self.volume)
        slices = self._slices()
        self.slabs = schedule.slabs(ny, slices)
        if geometry.couples_slices and len(self.slabs) > 1:
            raise InputError("tilts are shifted along y, so that slices cannot be fitted apart; use slices=all")
        self.total = schedule.total(settings, len(self.slabs))
        self.base = 0  # iterations of the fits before the one at hand
        rest = problem.p - problem.A(self.volume) if background else problem.p
        self.spread = levels.spread(problem)
        self.contrast = strength.contrast(replace(problem, p=rest)) or 1.0
        support = torch.ones_like(self.volume)
        rays = problem.weighted(problem.A(problem.masked(support)))
        self.level = float(problem.weighted(rest).double().sum() / rays.double().sum().clamp(min=1e-30))
        self.parts: dict[int, Part] = {}
        self.at_hand: list[_Fit] = []  # of the slab being fitted: where held-out tilts are predicted, and with all tilts

    def _slices(self) -> int:
        nz, ny, nx = self.problem.A.geometry.shape
        if self.settings.slices == "all":
            return ny
        if self.settings.slices != "auto":
            return self.settings.slices
        with torch.device("meta"):
            n = CoordinateNetwork(self.settings, (nz, min(ny, schedule.FEWEST), nx)).n_parameters
        n_angles, _, nu = self.problem.A.range_shape
        return schedule.auto_slices(n, n_angles, nu)

    def fit(self) -> None:
        """All networks, in order."""
        for index, source in schedule.order(len(self.slabs)):
            start = self.parts[source].network if source is not None and self.settings.warm_start else None
            self._fit(index, start)

    def _fit(self, index: int, start: CoordinateNetwork | None) -> None:
        n = schedule.iterations(self.settings, first=start is None)
        learning_rate = self.settings.learning_rate if start is None else self.settings.learning_rate_next
        steps = n
        if self.settings.stop == "held-out":
            trial = self._begin(index, start, held_out=True)
            trial.run(n, n, learning_rate)
            self.base += n
            steps = max(1, trial.best_iteration)
            self.history.setdefault("iterations", []).append(float(steps))
        fit = self._begin(index, start, held_out=False)
        fit.run(steps, n, learning_rate)
        self.base += n
        fit.finish()
        self._keep(fit)
        self.at_hand.clear()

    def _begin(self, index: int, start: CoordinateNetwork | None, *, held_out: bool) -> _Fit:
        self.at_hand.append(_Fit(self, index, start, held_out=held_out))
        return self.at_hand[-1]

    def _keep(self, fit: _Fit) -> None:
        slab = self.slabs[fit.index]
        self.parts[fit.index] = Part(fit.network, slab.start, slab.stop, slab.first, slab.last)
        rows = slice(slab.first - slab.start, slab.last - slab.start)
        self.volume[:, slab.first : slab.last] = fit.density(fit.slab.values(graph=False))[:, rows]

    def result(self) -> Result:
        """Networks fitted so far, the one at hand at its best."""
        begun = [fit for fit in self.at_hand if fit.restore()]
        if begun:
            self._keep(min(begun, key=_Fit.misfit))
        nz, ny, nx = self.problem.A.geometry.shape
        field = NetworkField(
            list(self.parts.values()),
            (nz, ny, nx - 2 * self.problem.pad),
            self.settings,
            scale=self.contrast,
            background=self.background,
            pad=self.problem.pad,
            mask=self.problem.mask,
            device=self.problem.p.device,
        )
        return field, self.volume, self.history

    def report(self, iteration: int, values: dict[str, float]) -> None:
        """Record an iterate of the fit at hand."""
        for name, value in values.items():
            self.history.setdefault(name, []).append(value)
        if self.progress is not None:
            self.progress(self.base + iteration, self.total, values)


class _Fit:
    """One network on its slab of the problem."""

    def __init__(self, run: _Run, index: int, start: CoordinateNetwork | None, *, held_out: bool) -> None:
        self.owner, self.index, self.settings = run, index, run.settings
        slab, problem = run.slabs[index], run.problem
        geometry, device = problem.A.geometry, problem.p.device
        nz, _, nx = geometry.shape
        rows = slice(slab.start, slab.stop)
        whole = slab.stop - slab.start == geometry.shape[1]
        self.A = problem.A if whole else problem.A.with_geometry(geometry.rows(slab.start, slab.stop))
        self.p = problem.p[:, rows]
        w = problem.w if problem.w is None or problem.w.shape[1] == 1 else problem.w[:, rows]
        self.mask = problem.mask if problem.mask is None or problem.mask.shape[1] == 1 else problem.mask[:, rows]
        self.w = self._w_all = w
        self.w_out: torch.Tensor | None = None
        reg_par = run.reg_par
        if held_out:
            self.w, self.w_out = _split(problem, w)
            # the penalty against fewer tilts: in the same proportion
            reg_par *= float(self.w.sum() / (self.w + self.w_out).sum())
        self.network = CoordinateNetwork(run.settings, (nz, slab.stop - slab.start, nx)).to(device)
        if start is None:
            self.network.start_at(run.level / run.contrast)
        else:
            self.network.load_state_dict(start.state_dict())
        self.slab = OnVoxels(self.network, device)
        self.loss = losses.make_loss(run.settings, run.spread or 1.0)
        self.regulariser = losses.make_regulariser(run.settings, reg_par, run.contrast)
        # Adam does not care, but for its epsilon: derivatives of about one whatever the projections' unit
        self.unit = self.A.geometry.n_angles * (1.0 if run.settings.loss == "l1" else run.contrast)
        self.best_score, self.best_iteration = float("inf"), 0
        self._best: list[torch.Tensor] = []

    def density(self, values: torch.Tensor) -> torch.Tensor:
        """The slab of the volume, from the network's outputs."""
        x = (values * self.owner.contrast).add_(self.owner.background)
        return x if self.mask is None else x.mul_(self.mask)

    def run(self, steps: int, num_iter: int, learning_rate: float) -> None:
        """``steps`` of Adam's of a schedule of ``num_iter``."""
        adam = self._optimiser(learning_rate)
        base = [group["lr"] for group in adam.param_groups]
        for step in range(steps):
            for group, value in zip(adam.param_groups, base, strict=True):
                group["lr"] = value * schedule.rate(step, num_iter, self.settings.decay)
            values, slope = self._evaluate(step + 1, learning_rate)
            self._note(values, step)
            adam.zero_grad(set_to_none=True)
            self.slab.backward(slope)
            adam.step()
            self.owner.report(step + 1, values)

    def finish(self) -> None:
        """Leave the network at its best: where the last step led to, or an iterate before."""
        if not self.misfit() <= self.best_score:
            self.restore()

    def restore(self) -> bool:
        """Put the best weights back; False if there are none yet."""
        with torch.no_grad():
            for p, best in zip(self.network.parameters(), self._best, strict=False):
                p.copy_(best)
        return bool(self._best)

    def _optimiser(self, learning_rate: float) -> torch.optim.Optimizer:
        encoder = list(self.network.encoder.parameters())
        decoder = [*self.network.hidden.parameters(), *self.network.output.parameters()]
        groups: list[dict[str, Any]] = [{"params": decoder, "lr": learning_rate}]
        if encoder:
            groups.append({"params": encoder, "lr": learning_rate * self.network.encoder.rate})
        betas = BETAS[self.settings.recipe]
        return torch.optim.AdamW(groups, lr=learning_rate, betas=betas, weight_decay=0.0, amsgrad=self.settings.amsgrad)

    def _evaluate(self, iteration: int, learning_rate: float) -> tuple[dict[str, float], torch.Tensor]:
        """Loss and residual of the weights as they are, and the loss's derivative with respect to the outputs."""
        x = self.density(self.slab.values())
        r = self.A(x).sub_(self.p)
        loss, slope = self.loss(r, self.w)
        g = self.A.T(slope)
        if self.regulariser is not None:
            loss = loss + self.regulariser(x, g)
        value = float(loss)
        if not math.isfinite(value):
            at, total = self.owner.base + iteration, self.owner.total
            raise InputError(
                f"the loss is not finite in iteration {at} of {total}; try a learning_rate below {learning_rate:g}"
            )
        values = {"loss": value, "residual": _relative(r, self.p, self.w)}
        if self.w_out is not None:
            values["held_out"] = _relative(r, self.p, self.w_out)
        if self.mask is not None:
            g.mul_(self.mask)
        return values, g.div_(self.unit)

    def misfit(self) -> float:
        """The loss of all tilts, with the penalty of this fit."""
        x = self.density(self.slab.values(graph=False))
        loss, _ = self.loss(self.A(x).sub_(self.p), self._w_all)
        return float(loss if self.regulariser is None else loss + self.regulariser(x, torch.zeros_like(x)))

    def _note(self, values: dict[str, float], step: int) -> None:
        score = values.get("held_out", values["loss"])
        if score < self.best_score or not self._best:
            self.best_score, self.best_iteration = score, step
            weights = [p.detach() for p in self.network.parameters()]
            if not self._best:
                self._best = [torch.empty_like(p) for p in weights]
            torch._foreach_copy_(self._best, weights)


def _split(problem: Problem, w: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights of the tilts that are fitted, and of those left out: every fifth in order of angle (``classical.strength``).

    Raises
    ------
    InputError
        With fewer than five tilts that have a weight.
    """
    n = problem.A.geometry.n_angles
    trust = np.ones(n) if w is None else w.mean((1, 2)).double().cpu().numpy()
    order = np.argsort(problem.A.geometry.angles, kind="stable")
    order = order[trust[order] > 0]
    if len(order) < strength.HELD_OUT:
        raise InputError(f"{len(order)} tilts are too few to hold some out; use stop=none")
    out = torch.zeros(n, 1, 1, device=problem.p.device)
    out[torch.from_numpy(order[strength.HELD_OUT // 2 : -1 : strength.HELD_OUT].copy())] = 1.0
    return ((1 - out), out) if w is None else (w * (1 - out), w * out)


def _relative(r: torch.Tensor, p: torch.Tensor, w: torch.Tensor | None) -> float:
    """``||W^(1/2) r|| / ||W^(1/2) p||``."""
    if w is None:
        top, bottom = torch.linalg.vector_norm(r), torch.linalg.vector_norm(p)
    else:
        top, bottom = (r * r * w).sum().sqrt(), (p * p * w).sum().sqrt()
    return float(top / bottom.clamp(min=torch.finfo(torch.float32).tiny))
