"""Run one candidate: tuning, reconstruction, checks. Each part is saved as soon as it is finished."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from tomoprior.comparison import tuning
from tomoprior.comparison.budget import Budget, OutOfTime
from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evidence.halves import halves
from tomoprior.comparison.evidence.held_out import held_out
from tomoprior.comparison.evidence.planted import planted
from tomoprior.comparison.evidence.residual import residual
from tomoprior.comparison.shared import Reconstruct, SharedInput
from tomoprior.comparison.store import Store
from tomoprior.errors import Interrupted, TomopriorError
from tomoprior.reconstruction import Reconstruction
from tomoprior.series import TiltSeries
from tomoprior.storage.digest import compute_digest
from tomoprior.storage.lazy import one_line

#: Share of the budget that tuning may use; then the best values so far are taken.
TUNING_SHARE = 0.5

#: Called with the stage, the iteration and the number of iterations.
Step = Callable[[str, int, int], None]


class Evaluation:
    """The run of one candidate.

    Parameters
    ----------
    checks
        Names from ``shared.CHECKS``.
    budget
        Seconds for all parts together, or None for no limit.
    step
        Called once per iteration.
    alone
        True if nothing else runs in this process: the peak memory of the process is then the method's.
    """

    def __init__(
        self,
        shared: SharedInput,
        candidate: Candidate,
        store: Store,
        checks: tuple[str, ...],
        *,
        tune: bool = False,
        budget: float | None = None,
        step: Step | None = None,
        alone: bool = False,
    ) -> None:
        self.shared, self.candidate, self.store = shared.for_method(candidate.method), candidate, store
        self.checks, self.tune, self.step, self.alone = checks, tune, step, alone
        self.budget = Budget(budget)
        self.state: dict[str, Any] = {"status": "done", "message": "", "seconds": {}}

    def run(self) -> dict[str, Any]:
        """Run all parts; returns status, message, settings and seconds, which the store keeps as ``outcome``.

        Raises
        ------
        KeyboardInterrupt
            On Ctrl-C. Finished parts are kept.
        """
        state = self.state
        try:
            if self.tune:
                self._tune()
            state["settings"] = self.candidate.settings.model_dump(mode="json")
            if self._reconstruct():
                self._check_all()
        except OutOfTime:
            state |= {"status": "over budget", "message": self._cut_off("the reconstruction", "no volume")}
        except MemoryError:
            state |= {"status": "failed", "message": "out of memory; bin the series, or leave this method out"}
        except Exception as error:  # an error of one method must not stop the others; its row shows the message
            state |= {"status": "failed", "message": describe_error(error)}
        self.store.put("outcome", state)
        return state

    def _cut_off(self, what: str, left: str) -> str:
        return f"{what} was cut off after the budget of {self.budget.seconds:g} s: {left}"

    def _tune(self) -> None:
        part = self.store.get("tuned")
        if part is None:
            tuned, start, cut = tuning.Tuned(), time.monotonic(), ""
            try:
                tuning.tune(self.shared, self.candidate, self._runner(TUNING_SHARE), tuned)
            except (Interrupted, OutOfTime):
                cut = "half of the budget was used up before all values were tried"
                tuned.values = tuned.best()
            except TomopriorError as error:
                cut = f"not tuned: {one_line(error)}"
            why, seconds = tuning.explain_trials(self.candidate), time.monotonic() - start
            part = {**tuned.plain(), "why": why, "cut": cut, "seconds": seconds}
            self.store.put("tuned", part)
        else:
            self.budget.add_earlier(part["seconds"])
        self.state["seconds"]["tuning"] = part["seconds"]
        self.candidate = self.candidate.with_values(part["values"])

    def _reconstruct(self) -> bool:
        """Reconstruct from all tilts; returns False if the budget cut the reconstruction off."""
        part = self.store.get("reconstruction")
        if part is None or not part["complete"]:
            before, start = peak_memory(), time.monotonic()
            try:
                result, complete = self._run_method(self.shared.series, "reconstruction"), True
            except Interrupted as cut:
                result, complete = cut.result, False
            seconds, memory = time.monotonic() - start, peak_memory() - before if self.alone else None
            part = {"seconds": seconds, "memory": memory, "complete": complete, **self._save(result)}
            self.store.put("reconstruction", part)
        else:
            self.budget.add_earlier(part["seconds"])
        self.state["seconds"]["reconstruction"] = part["seconds"]
        if not part["complete"]:
            left = "the volume is the best one by then, and it was not checked"
            self.state |= {"status": "over budget", "message": self._cut_off("the reconstruction", left)}
        return bool(part["complete"])

    def _save(self, result: Reconstruction) -> dict[str, Any]:
        volume, series = result.volume, self.shared.series
        if not np.all(np.isfinite(volume)):
            raise ArithmeticError("the volume has values that are not finite")
        self.store.put_array("volume", volume)
        if result.std is not None:
            self.store.put_array("std", result.std)
        return {
            "std": result.std is not None,
            "residual": residual(volume, series, self.shared.projector(series)),
            "provenance": json.loads(json.dumps(dict(result.provenance), default=str)),
        }

    def _check_all(self) -> None:
        messages, seconds = [], 0.0
        for name in self.checks:
            part = self.store.get(name)
            if part is None:
                start = time.monotonic()
                try:
                    value = self._check(name)
                except (Interrupted, OutOfTime):
                    self.state["status"] = "over budget"
                    messages.append(self._cut_off(f"the check {name.replace('_', '-')}", "the volume itself is complete"))
                    break
                except Exception as error:
                    messages.append(f"{name.replace('_', '-')}: {describe_error(error)}")
                    continue
                part = {"value": value, "seconds": time.monotonic() - start}
                self.store.put(name, part)
            else:
                self.budget.add_earlier(part["seconds"])
            seconds += part["seconds"]
        self.state["message"] = "; ".join(messages)
        self.state["seconds"]["checks"] = seconds

    def _check(self, name: str) -> dict[str, Any]:
        if name == "planted":
            value, response = planted(self.shared, self._run_method, self.store.array("volume"))
            self.store.put_array("response", response)
            return value
        check: dict[str, Callable[[SharedInput, Reconstruct], dict[str, Any]]] = {"held_out": held_out, "halves": halves}
        return check[name](self.shared, self._run_method)

    def _run_method(self, series: TiltSeries, stage: str) -> Reconstruction:
        return self._runner(1.0)(series, self.candidate.settings, stage)

    def _runner(self, share: float) -> tuning.Run:
        """Return a function that reconstructs until ``share`` of the budget is used up; Ctrl-C raises KeyboardInterrupt."""

        def run(series: TiltSeries, settings: Any, stage: str) -> Reconstruction:
            def progress(iteration: int, num_iter: int, values: dict[str, float], /) -> None:
                if self.step is not None:
                    self.step(stage, iteration, num_iter)
                self.budget.check(share)

            self.budget.check(share)
            if self.step is not None:
                self.step(stage, 0, 1)
            try:
                return self.shared.reconstruct(series, self.candidate.method, settings, progress)
            except Interrupted:
                if not self.budget.is_over(share):
                    raise KeyboardInterrupt from None
                raise

        return run


def digest_candidate(shared_digest: str, candidate: Candidate, *, tune: bool) -> str:
    """Return a digest of the shared input and of the candidate; results belong to one digest only."""
    plain = {
        "shared": shared_digest,
        "method": candidate.method.name,
        "settings": candidate.settings.model_dump(mode="json"),
        "tune": sorted(tuning.plan_trials(candidate)) if tune else None,
    }
    return compute_digest(plain)


def describe_error(error: BaseException) -> str:
    """Return an error as one line, with its type unless it is one of ours."""
    return one_line(error) if isinstance(error, TomopriorError) else f"{type(error).__name__}: {one_line(error)}"


def peak_memory() -> int:
    """Return the peak memory of this process so far, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
