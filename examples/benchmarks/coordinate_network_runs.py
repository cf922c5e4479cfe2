"""Reconstruct and score one series many times, and print the results of bars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

import tomoprior
from tomoprior import metrics
from tomoprior.series import TiltSeries


@dataclass(frozen=True)
class Scores:
    """Scores of a volume, its time and settings, and the values that the method chose."""

    psnr: float
    ssim: float
    missing: float
    seconds: float
    settings: Mapping[str, Any]
    settled: Mapping[str, float]


class Runs:
    """A series and its true volume; called with a method and its settings."""

    def __init__(self, series: TiltSeries, truth: NDArray[Any], mode: Literal["paper", "standard"] = "paper") -> None:
        self.series, self.truth, self.mode = series, truth, mode

    def __call__(self, method: str, **settings: Any) -> Scores:
        """Return the scores of a reconstruction; the seconds include all searches."""
        result = tomoprior.reconstruct(self.series, method, **settings)
        scores = metrics.evaluate(result.volume, self.truth, angles=self.series.geometry.angles, mode=self.mode)
        record = result.provenance
        return Scores(
            scores["psnr"], scores["ssim"], scores["fsc_missing_mean"], record["seconds"], settings, record.get("settled", {})
        )


def best(candidates: Iterable[Scores]) -> Scores:
    """Return the scores nearest to the truth: a choice that is impossible without it."""
    return max(candidates, key=lambda f: f.psnr)


class Verdicts:
    """Prints a line for each bar; ``failed`` counts the failures."""

    def __init__(self) -> None:
        self.failed = 0

    def bar(self, title: str, text: str, value: float, at_least: float | None) -> None:
        """Print a bar: ``value`` must be at least ``at_least``, more than 0 if that is 0, and any number if it is None."""
        passed = at_least is None or (value >= at_least if at_least else value > 0)
        self.failed += not passed
        sign = ">=" if at_least else ">"
        verdict = "no bar" if at_least is None else f"bar {sign} {at_least:g}: {'pass' if passed else 'FAIL'}"
        self.note(title, f"{text}: {value:+.4g}, {verdict}")

    def note(self, title: str, text: str) -> None:
        """Print a line without a bar."""
        print(f"{title:<16} {text}", flush=True)
