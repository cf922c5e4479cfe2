"""One contestant from the tuning to the last check, with its budget, each part kept as soon as it is done."""

from __future__ import annotations

import hashlib
import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tomoprior.comparison import tuning
from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.clock import Budget, OutOfTime
from tomoprior.comparison.evidence.halves import halves
from tomoprior.comparison.evidence.held_out import held_out
from tomoprior.comparison.evidence.planted import planted
from tomoprior.comparison.evidence.residual import residual
from tomoprior.comparison.shared import Reconstruct, SharedInput
from tomoprior.comparison.store import Store
from tomoprior.errors import Interrupted, TomopriorError
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.storage.lazy import one_line

#: Share of a budget that tuning may take; then the best so far is taken.
TUNING_SHARE = 0.5

#: Stage, iteration, iterations.
Step = Callable[[str, int, int], None]


class Evaluation:
    """A contestant at work.

    Parameters
    ----------
    checks
        Names of ``arena.CHECKS``.
    budget
        Seconds for everything, or None.
    step
        Called once an iteration.
    alone
        True where nothing else runs in this process, so that its peak is the method's.
    """

    def __init__(
        self,
        arena: SharedInput,
        contestant: Candidate,
        store: Store,
        checks: tuple[str, ...],
        *,
        tune: bool = False,
        budget: float | None = None,
        step: Step | None = None,
        alone: bool = False,
    ) -> None:
        self.arena, self.contestant, self.store = arena, contestant, store
        self.checks, self.tune, self.step, self.alone = checks, tune, step, alone
        self.clock = Budget(budget)
        self.state: dict[str, Any] = {"status": "done", "message": "", "seconds": {}}

    def run(self) -> dict[str, Any]:
        """All of it; what came of it, which the store has too, as ``outcome``: status, message, settings, seconds.

        Raises
        ------
        KeyboardInterrupt
            By the user. What is done is kept.
        """
        state = self.state
        try:
            if self.tune:
                self._tune()
            state["settings"] = self.contestant.settings.model_dump(mode="json")
            if self._reconstruct():
                self._check_all()
        except OutOfTime:
            state |= {"status": "over budget", "message": self._late("the reconstruction", "no volume")}
        except MemoryError:
            state |= {"status": "failed", "message": "out of memory; bin the series, or leave this method out"}
        except Exception as error:  # whatever a method does, the others go on, and its row says what it was
            state |= {"status": "failed", "message": described(error)}
        self.store.put("outcome", state)
        return state

    def _late(self, what: str, left: str) -> str:
        return f"{what} was cut off after the budget of {self.clock.budget:g} s: {left}"

    def _tune(self) -> None:
        kept = self.store.get("tuned")
        if kept is None:
            found, began, cut = tuning.Tuned(), time.monotonic(), ""
            try:
                tuning.tune(self.arena, self.contestant, self._runner(TUNING_SHARE), found)
            except (Interrupted, OutOfTime):
                cut = "half of the budget went before all values were tried"
                found.values = found.best()
            except TomopriorError as error:
                cut = f"not tuned: {one_line(error)}"
            kept = {**found.plain(), "seconds": time.monotonic() - began, "cut": cut}
            self.store.put("tuned", kept)
        else:
            self.clock.earlier(kept["seconds"])
        self.state["seconds"]["tuning"] = kept["seconds"]
        self.contestant = self.contestant.with_values(kept["values"])

    def _reconstruct(self) -> bool:
        """The volume; False if it is not what the method would have given with more time."""
        kept = self.store.get("reconstruction")
        if kept is None or not kept["complete"]:
            before, began = peak(), time.monotonic()
            try:
                result, complete = self._again(self.arena.series, "reconstruction"), True
            except Interrupted as cut:
                result, complete = cut.result, False
            seconds, memory = time.monotonic() - began, peak() - before if self.alone else None
            kept = {"seconds": seconds, "memory": memory, "complete": complete, **self._keep(result)}
            self.store.put("reconstruction", kept)
        else:
            self.clock.earlier(kept["seconds"])
        self.state["seconds"]["reconstruction"] = kept["seconds"]
        if not kept["complete"]:
            left = "the volume is as good as it was by then, and unchecked"
            self.state |= {"status": "over budget", "message": self._late("the reconstruction", left)}
        return bool(kept["complete"])

    def _keep(self, result: Reconstruction) -> dict[str, Any]:
        volume, series = result.volume, self.arena.series
        if not np.all(np.isfinite(volume)):
            raise ArithmeticError("the volume has values that are not finite")
        self.store.put_array("volume", volume)
        if result.std is not None:
            self.store.put_array("std", result.std)
        return {
            "std": result.std is not None,
            "residual": residual(volume, series, self.arena.projector(series.geometry)),
            "provenance": json.loads(json.dumps(dict(result.provenance), default=str)),
        }

    def _check_all(self) -> None:
        messages, seconds = [], 0.0
        for name in self.checks:
            kept = self.store.get(name)
            if kept is None:
                began = time.monotonic()
                try:
                    value = self._check(name)
                except (Interrupted, OutOfTime):
                    self.state["status"] = "over budget"
                    messages.append(self._late(f"the check {name.replace('_', '-')}", "the volume itself is complete"))
                    break
                except Exception as error:
                    messages.append(f"{name.replace('_', '-')}: {described(error)}")
                    continue
                kept = {"value": value, "seconds": time.monotonic() - began}
                self.store.put(name, kept)
            else:
                self.clock.earlier(kept["seconds"])
            seconds += kept["seconds"]
        self.state["message"] = "; ".join(messages)
        self.state["seconds"]["checks"] = seconds

    def _check(self, name: str) -> dict[str, Any]:
        if name == "planted":
            return planted(self.arena, self._again, self.store.array("volume"))
        check: dict[str, Callable[[SharedInput, Reconstruct], dict[str, Any]]] = {"held_out": held_out, "halves": halves}
        return check[name](self.arena, self._again)

    def _again(self, series: TiltSeries, stage: str) -> Reconstruction:
        return self._runner(1.0)(series, self.contestant.settings, stage)

    def _runner(self, share: float) -> tuning.Run:
        """Reconstructs until ``share`` of the budget is used up; a cut by the user goes up as a plain KeyboardInterrupt."""

        def run(series: TiltSeries, settings: Any, stage: str) -> Reconstruction:
            def progress(iteration: int, num_iter: int, values: dict[str, float], /) -> None:
                if self.step is not None:
                    self.step(stage, iteration, num_iter)
                self.clock.check(share)

            self.clock.check(share)
            if self.step is not None:
                self.step(stage, 0, 1)
            try:
                return self.arena.reconstruct(series, self.contestant.method, settings, progress)
            except Interrupted:
                if not self.clock.over(share):
                    raise KeyboardInterrupt from None
                raise

        return run


def digest(arena_digest: str, contestant: Candidate, *, tune: bool) -> str:
    """Of what a contestant's results hold for."""
    plain = {
        "arena": arena_digest,
        "method": contestant.method.name,
        "settings": contestant.settings.model_dump(mode="json"),
        "tune": sorted(tuning.candidates(contestant)) if tune else None,
    }
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()


def described(error: BaseException) -> str:
    """An error in one line; ours speak for themselves."""
    return one_line(error) if isinstance(error, TomopriorError) else f"{type(error).__name__}: {one_line(error)}"


def peak() -> int:
    """Bytes that this process has had at its peak so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
