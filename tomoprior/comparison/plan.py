"""The cost of a comparison, before it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from tomoprior.comparison.arguments import select_checks
from tomoprior.comparison.candidates import make_candidates
from tomoprior.comparison.shared import CHECKS, FEWEST, RECONSTRUCTIONS, order_tilts
from tomoprior.comparison.tuning import count_trials, explain_trials, plan_trials
from tomoprior.methods.arguments import check_rays
from tomoprior.methods.base import Method
from tomoprior.methods.solving.padding import settle_padding
from tomoprior.projector import Projector
from tomoprior.projector.backends import Kind
from tomoprior.running.estimate import estimate_method
from tomoprior.series import TiltSeries

#: Share of the tilts in all reconstructions of a check together, and in a trial of the tuning.
TILTS = {"held_out": 0.8, "planted": 1.0, "halves": 1.0}
TRIAL = 0.64


@dataclass(frozen=True)
class Cost:
    """The estimated cost of one method.

    Attributes
    ----------
    label
        The name of the method in the comparison.
    reconstructions
        Number of reconstructions, including those of the checks and of the tuning.
    trials
        Number of the tuning's trials.
    why
        Why they are fewer than ``tuning.TRIALS``; empty if they are not, or without tuning.
    seconds
        Time of all of them; at most the budget.
    memory
        Peak memory of one reconstruction in bytes.
    """

    label: str
    reconstructions: int
    trials: int
    why: str
    seconds: float
    memory: int


def estimate_comparison(
    series: TiltSeries,
    methods: Iterable[str | Method],
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    tune: bool = True,
    budget: float | None = None,
    checks: Iterable[str] = CHECKS,
    device: str = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
) -> list[Cost]:
    """Return the estimated cost of each method, without any reconstruction; arguments as for ``compare``."""
    projector = Projector(series.geometry, device, kind, backend)
    tilts = len(order_tilts(series))
    possible = [name for name in select_checks(checks) if tilts >= FEWEST[name]]
    costs = []
    for candidate in make_candidates(methods, settings):
        check_rays(candidate.method, series.geometry)
        trials = count_trials(plan_trials(candidate)) if tune else 0
        settings_of_run = settle_padding(candidate.settings, series.projections, series.geometry, series.weights)
        single = estimate_method(candidate.method, projector, settings_of_run)
        seconds = single.seconds * (1 + sum(TILTS[name] for name in possible) + TRIAL * trials)
        costs.append(
            Cost(
                candidate.label,
                1 + sum(RECONSTRUCTIONS[name] for name in possible) + trials,
                trials,
                explain_trials(candidate) if tune else "",
                seconds if budget is None else min(seconds, budget),
                single.memory,
            )
        )
    return costs
