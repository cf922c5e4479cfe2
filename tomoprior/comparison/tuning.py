"""Choose one or two settings of each method by held-out tilts, never by a truth, with the same number of trials for each.

The held-out tilts of the final check are not used. Every fifth of the remaining tilts measures the error of the trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evidence.held_out import held_out
from tomoprior.comparison.shared import SharedInput, choose_held_out
from tomoprior.errors import InputError, TomopriorError
from tomoprior.methods.base import TunableMethod
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries

#: The largest number of settings that are tuned, and of trials: the same for each method.
MOST, TRIALS = 2, 7
#: A method that names no values gets these multiples of its own number of iterations.
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)

#: Reconstructs a series with settings; the last argument names the stage.
Run = Callable[[TiltSeries, Any, str], Reconstruction]


@dataclass
class Tuned:
    """The values that were chosen, and all trials."""

    values: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)

    def best(self) -> dict[str, Any]:
        """Return the values of the best trial so far; empty without any."""
        good = [trial for trial in self.trials if trial.get("error") is not None]
        return dict(min(good, key=lambda trial: trial["error"])["values"]) if good else {}

    def plain(self) -> dict[str, Any]:
        """Return plain values for JSON."""
        return {"values": self.values, "trials": self.trials}


def values_to_try(candidate: Candidate) -> dict[str, Sequence[Any]]:
    """Return the values to try for each setting: at most two settings, without those that the user has set.

    A method names them as ``tunable``. For a method that names none, the number of iterations is tried if it has one.
    """
    named: Mapping[str, Sequence[Any]]
    if isinstance(candidate.method, TunableMethod):
        named = candidate.method.tunable
    else:
        own = getattr(candidate.settings, "num_iter", None)
        named = {"num_iter": [max(1, round(own * f)) for f in FACTORS]} if isinstance(own, int) else {}
    free = {name: values for name, values in named.items() if name not in candidate.set_by_user}
    return dict(list(free.items())[:MOST])


def plan_trials(candidate: Candidate) -> dict[str, list[Any]]:
    """Return the values to try for each setting, the own value first; at most ``TRIALS`` trials together.

    The settings are tried one after the other, so the first value of the second setting is known already.
    """
    plan: dict[str, list[Any]] = {}
    for name, values in values_to_try(candidate).items():
        left = TRIALS - count_trials(plan) + (1 if plan else 0)
        tried = list(dict.fromkeys([getattr(candidate.settings, name), *values]))[:left]
        if len(tried) > 1:
            plan[name] = tried
    return plan


def count_trials(plan: Mapping[str, Sequence[Any]]) -> int:
    """Return the number of trials in a plan of ``plan_trials``."""
    return sum(len(values) for values in plan.values()) - max(0, len(plan) - 1)


def explain_trials(candidate: Candidate) -> str:
    """Return why a method has fewer than ``TRIALS`` trials; empty if it has all."""
    plan = plan_trials(candidate)
    if plan:
        return f"{' and '.join(plan)}: no other values" if count_trials(plan) < TRIALS else ""
    if candidate.set_by_user and values_to_try(replace(candidate, set_by_user=frozenset())):
        return "its settings are given"
    if isinstance(candidate.method, TunableMethod):
        return "held-out tilts choose in every run what is not given"
    return "has no setting to try"


def tune(shared: SharedInput, candidate: Candidate, run: Run, tuned: Tuned) -> Candidate:
    """Return the candidate with the best values: one setting after the other, by the error of predicted tilts.

    Parameters
    ----------
    tuned
        Receives each trial when it ends, so that a caller who stops the tuning has the trials so far.

    Raises
    ------
    InputError
        For too few tilts to hold some out twice, or if no value of a setting can be tried.
    """
    plan = plan_trials(candidate)
    if not plan:
        return candidate
    keep, _ = choose_held_out(shared.series)
    inner = replace(shared, series=shared.series.select(keep))
    choose_held_out(inner.series)
    tried: dict[str, float] = {}

    def error(values: dict[str, Any]) -> float:
        trial = candidate.with_values(values)
        key = trial.settings.model_dump_json()
        if key not in tried:
            note: dict[str, Any] = {"values": values}
            stage = "tuning " + ", ".join(f"{name}={value}" for name, value in values.items())
            try:
                tried[key] = held_out(inner, lambda series, _: run(series, trial.settings, stage))["error"]
                note["error"] = tried[key]
            except (TomopriorError, ValueError) as reason:  # a value that does not suit this series is not the best one
                tried[key] = float("inf")
                note |= {"error": None, "message": str(reason)}
            tuned.trials.append(note)
        return tried[key]

    for name, values in plan.items():
        # the method's own value comes first: another one has to be better, not as good
        errors = {value: error({**tuned.values, name: value}) for value in values}
        best = min(errors, key=lambda value: errors[value])
        if errors[best] == float("inf"):
            raise InputError(f"no value of {name} could be tried: {tuned.trials[-1].get('message', '')}")
        tuned.values[name] = best
    return candidate.with_values(tuned.values)
