"""The same chance for each: one or two settings chosen by tilts that the trials do not see, never by a truth.

The tilts of the final judgement take no part: of those that remain, every fifth judges the trials.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evidence.held_out import held_out
from tomoprior.comparison.shared import SharedInput, choose_held_out
from tomoprior.errors import InputError, TomopriorError
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries

#: Settings tuned at most.
MOST = 2
#: Of a method that says nothing, multiples of its own number of iterations.
FACTORS = (0.25, 0.5, 1.0, 2.0, 4.0)

#: Reconstructs a series with settings; the last argument says what for.
Run = Callable[[TiltSeries, Any, str], Reconstruction]


@dataclass
class Tuned:
    """What was tried and what was chosen."""

    values: dict[str, Any] = field(default_factory=dict)
    trials: list[dict[str, Any]] = field(default_factory=list)

    def best(self) -> dict[str, Any]:
        """The values of the best trial so far; empty without any."""
        good = [t for t in self.trials if t.get("error") is not None]
        return dict(min(good, key=lambda t: t["error"])["values"]) if good else {}

    def plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"values": self.values, "trials": self.trials}


def candidates(contestant: Candidate) -> dict[str, Sequence[Any]]:
    """Values to try by setting, at most two settings, without those that the user has given.

    A method names them as ``tunable``; of one that does not, the number of iterations is tried, if it has one.
    """
    named: Mapping[str, Sequence[Any]] | None = getattr(contestant.method, "tunable", None)
    if named is None:
        own = getattr(contestant.settings, "num_iter", None)
        named = {"num_iter": [max(1, round(own * f)) for f in FACTORS]} if isinstance(own, int) else {}
    left = {name: values for name, values in named.items() if name not in contestant.given}
    return dict(list(left.items())[:MOST])


def tune(arena: SharedInput, contestant: Candidate, run: Run, found: Tuned) -> Candidate:
    """One setting after the other, each value by the error of predicted tilts; the best stays.

    Parameters
    ----------
    found
        Is filled as the trials end, so that a caller who stops this has what there was.

    Raises
    ------
    InputError
        With too few tilts to hold some out twice.
    """
    options = candidates(contestant)
    if not options:
        return contestant
    keep, _ = choose_held_out(arena.series)
    inner = replace(arena, series=arena.series.select(keep))
    choose_held_out(inner.series)
    best = float("inf")
    tried: dict[str, float] = {}

    def error(values: dict[str, Any]) -> float:
        one = contestant.with_values({**found.values, **values})
        key = one.settings.model_dump_json()
        if key not in tried:
            note: dict[str, Any] = {"values": {**found.values, **values}}
            try:
                tried[key] = held_out(inner, lambda series, _: run(series, one.settings, f"tuning {_words(values)}"))["error"]
                note["error"] = tried[key]
            except TomopriorError as reason:  # a value that does not go with this series is not the best one
                tried[key] = float("inf")
                note |= {"error": None, "message": str(reason)}
            found.trials.append(note)
        return tried[key]

    for name, values in options.items():
        own = getattr(contestant.settings, name)
        for value in dict.fromkeys([own, *values]):  # its own first: another has to be better, not as good
            now = error({name: value})
            if now < best:
                best = now
                chosen = {name: value}
        if best == float("inf"):
            raise InputError(f"no value of {name} could be tried: {found.trials[-1].get('message', '')}")
        found.values |= chosen if name in chosen else {name: own}
    return contestant.with_values(found.values)


def _words(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in values.items())
