"""Fit networks to projections, slab by slab: Van Veen et al., Int. J. Mol. Sci. 25 (2024) 5473, eq. 1.

The paper's first learning rate is about ten times what its sine layers tolerate on small grids (measured). Its procedure
compensates for that. An output of one equals the range of the projections, far above typical contrast, and the output's first
bias is random: the first residuals are large and of one sign. amsgrad remembers their gradients and shortens all later steps,
the more the larger the problem. On small grids the first fit can still fail; the fits that start from a neighbour at a tenth of
the learning rate, with the second fit of the middle slab, repair it.

Two choices are our interpretation. The projections are divided by their range and no minimum is subtracted, because an offset
of projections corresponds to no volume. (Contrast as the unit, which the released code does not exclude, was worse on a phantom
for tuning.) The paper clips to between 0 and 1 at the end; only the clip at 0 is applied, as no voxel should exceed the range
of all projections.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tomoprior.errors import InputError, Interrupted
from tomoprior.methods.cn import data_statistics, schedule
from tomoprior.methods.cn.descent import Descent, Scales
from tomoprior.methods.cn.loading import load_field
from tomoprior.methods.cn.network import CoordinateNetwork, NetworkField, NetworkPart
from tomoprior.methods.cn.settings import NetworkSettings
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.problem import Problem, select_rows
from tomoprior.progress import Progress
from tomoprior.projector import FilteredProjector

History = dict[str, list[float]]
Result = tuple[NetworkField, torch.Tensor, History]


def train(
    problem: Problem,
    settings: NetworkSettings,
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
        Strength of the regulariser for the problem's weights (``Problem.weight_scale``).
    progress
        Called once an iteration; ``iteration`` counts over all networks. The counter skips ahead when a fit stops early.
    background
        Level per voxel, added to the outputs of the networks.

    Returns
    -------
    field
        The fitted field.
    volume
        The field on the padded grid, ``problem.A.domain_shape``, in the projector's layout.
    history
        Per iteration ``loss``, ``residual`` (``||W^(1/2) (p - A x)|| / ||W^(1/2) p||`` of the current slab) and, with
        ``stop="held-out"``, ``held_out`` (the same of the held-out tilts); then also ``iterations``, one number per network.

    Raises
    ------
    InputError
        For a problem that cannot be cut into slabs, a starting volume, or a loss that becomes infinite or NaN.
    Interrupted
        For a KeyboardInterrupt; ``result`` is as above, with the best networks so far.
    """
    if bool(problem.x.any()):
        raise InputError("a network cannot start from a volume; leave initial out, or use encoder=spline")
    run = _Training(problem, settings, reg_par, progress, background)
    try:
        run.fit()
    except KeyboardInterrupt:
        raise Interrupted(run.result()) from None
    return run.result()


class _Training:
    """State that the fits of one call share, and their results so far."""

    def __init__(
        self, problem: Problem, settings: NetworkSettings, reg_par: float, progress: Progress | None, background: float
    ) -> None:
        self.problem, self.settings, self.reg_par, self.progress = problem, settings, reg_par, progress
        self.history: History = {"loss": [], "residual": []}
        geometry, device = problem.A.geometry, problem.data.device
        nz, ny, nx = geometry.shape
        self.volume = torch.empty(nz, nx, ny, device=device).permute(0, 2, 1).fill_(background)
        problem.apply_mask_(self.volume)
        self.slabs = schedule.cut_slabs(ny, schedule.count_slices(settings, geometry))
        if problem.A.couples_slices and len(self.slabs) > 1:
            raise InputError("slices depend on each other and cannot be fitted apart; use slices=all")
        self.total = schedule.count_all_iterations(settings, len(self.slabs))
        self.base = 0  # iterations of all fits before the current one
        rest = problem.data - problem.A(self.volume) if background else problem.data
        support = torch.ones_like(self.volume)
        rays = problem.apply_weights(problem.A(problem.apply_mask_(support)))
        filtered = isinstance(problem.A, FilteredProjector)  # a transfer function removes the level
        level = 0.0 if filtered else float(problem.apply_weights(rest).double().sum() / rays.double().sum().clamp(min=1e-30))
        contrast = strength.estimate_contrast(replace(problem, data=rest)) or 1.0
        if settings.preset == "paper":
            if filtered:
                raise InputError("preset=paper fits images, not what a transfer function makes of them; leave the preset out")
            unit, start = _projection_range(problem, rest) or 1.0, None if settings.output != "softplus" else level
        else:
            unit, start = contrast, level
        self.scales = Scales(contrast, unit, data_statistics.measure_spread(problem), background, start)
        self.parts: dict[int, NetworkPart] = {}
        # fits of the current slab: without the held-out tilts, and with all tilts
        self.current: list[tuple[int, Descent]] = []
        # the first fit, in case an interrupt stops the second one of the same slab early
        self.first: list[tuple[int, Descent]] = []

    def fit(self) -> None:
        """Fit all networks, in order."""
        for index, source in schedule.training_order(len(self.slabs), refit=schedule.refits_first(self.settings)):
            neighbour = self.parts[source].network if source is not None and self.settings.warm_start else None
            self._fit(index, self._load_start() if source is None else neighbour)

    def _load_start(self) -> CoordinateNetwork | None:
        """Return the network that the settings name, if it spans as many voxels as the first network."""
        if self.settings.initial_field is None:
            return None
        field = load_field(self.settings.initial_field)
        if not isinstance(field, NetworkField) or not field.parts:
            raise InputError(f"{self.settings.initial_field}: this field has no network to start from")
        network = field.parts[len(field.parts) // 2].network.to(self.problem.data.device)
        nz, _, nx = self.problem.A.geometry.shape
        with torch.device("meta"):
            first = CoordinateNetwork(self.settings, (nz, self.slabs[0].stop - self.slabs[0].start, nx))
        shapes = [{k: v.shape for k, v in each.state_dict().items()} for each in (network, first)]
        return network if shapes[0] == shapes[1] else None

    def _fit(self, index: int, start: CoordinateNetwork | None) -> None:
        if index in self.parts:
            self.current += self.first  # until the second fit ends, the better of both counts
        n = schedule.count_iterations(self.settings, first=start is None)
        learning_rate = self.settings.learning_rate if start is None else self.settings.learning_rate_next
        steps = n
        if self.settings.stop == "held-out":
            trial = self._new_fit(index, start, held_out=True)
            self._descend(trial, n, n, learning_rate)
            steps = max(1, trial.best_iteration)
            self.history.setdefault("iterations", []).append(float(steps))
        fit = self._new_fit(index, start, held_out=False)
        self._descend(fit, steps, n, learning_rate)
        fit.keep_best()
        self._store(index, fit)
        self.first = self.first or [(index, fit)]
        self.current.clear()

    def _new_fit(self, index: int, start: CoordinateNetwork | None, *, held_out: bool) -> Descent:
        slab = self.slabs[index]
        problem = select_rows(self.problem, slab.start, slab.stop)
        fit = Descent(problem, self.settings, self.reg_par, self.scales, start, held_out=held_out)
        self.current.append((index, fit))
        return fit

    def _descend(self, fit: Descent, steps: int, num_iter: int, learning_rate: float) -> None:
        def report(iteration: int, values: dict[str, float]) -> None:
            at = self.base + iteration
            if not math.isfinite(values["loss"]):
                raise InputError(
                    f"the loss is not finite in iteration {at} of {self.total}; try a learning_rate below {learning_rate:g}"
                )
            for name, value in values.items():
                self.history.setdefault(name, []).append(value)
            if self.progress is not None:
                self.progress(at, self.total, values)

        fit.run(steps, num_iter, learning_rate, report)
        self.base += num_iter

    def _store(self, index: int, fit: Descent) -> None:
        slab = self.slabs[index]
        self.parts[index] = NetworkPart(fit.network, slab.start, slab.stop, slab.first, slab.last)
        rows = slice(slab.first - slab.start, slab.last - slab.start)
        self.volume[:, slab.first : slab.last] = fit.volume()[:, rows]

    def result(self) -> Result:
        """Return the networks fitted so far, the current one with its best weights."""
        started = [(index, fit) for index, fit in self.current if fit.restore()]
        if started:
            self._store(*min(started, key=lambda each: each[1].misfit()))
        nz, ny, nx = self.problem.A.geometry.shape
        field = NetworkField(
            list(self.parts.values()),
            (nz, ny, nx - 2 * self.problem.pad),
            self.settings,
            scale=self.scales.unit,
            background=self.scales.background,
            pad=self.problem.pad,
            mask=self.problem.mask,
            device=self.problem.data.device,
        )
        return field, self.volume, self.history


def _projection_range(problem: Problem, data: torch.Tensor) -> float:
    """Return the largest minus the smallest projection with a weight: the paper's unit, in which they span one."""
    used = data if problem.weights is None else data[(problem.weights > 0).expand_as(data)]
    return float(used.max() - used.min()) if used.numel() else 0.0
