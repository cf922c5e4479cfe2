"""Reconstructing and scoring one series many times, and saying how a bar went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from numpy.typing import NDArray

import tomoprior
from tomoprior import metrics
from tomoprior.series import TiltSeries


@dataclass(frozen=True)
class Found:
    """A volume's scores, what it took, and what was settled on the way."""

    psnr: float
    ssim: float
    missing: float
    seconds: float
    settings: Mapping[str, Any]
    settled: Mapping[str, float]


class Runs:
    """A series and what its volumes are held against; called with a method and its settings."""

    def __init__(self, series: TiltSeries, truth: NDArray[Any], mode: Literal["paper", "standard"] = "paper") -> None:
        self.series, self.truth, self.mode = series, truth, mode

    def __call__(self, method: str, **settings: Any) -> Found:
        """Its scores; the seconds include all searches."""
        result = tomoprior.reconstruct(self.series, method, **settings)
        scores = metrics.evaluate(result.volume, self.truth, angles=self.series.geometry.angles, mode=self.mode)
        record = result.provenance
        return Found(
            scores["psnr"], scores["ssim"], scores["fsc_missing_mean"], record["seconds"], settings, record.get("settled", {})
        )


def best(found: Iterable[Found]) -> Found:
    """The one nearest to the truth: a choice that nobody has without it."""
    return max(found, key=lambda f: f.psnr)


class Verdicts:
    """Prints a line for each bar; ``failed`` counts."""

    def __init__(self) -> None:
        self.failed = 0

    def bar(self, title: str, text: str, value: float, at_least: float | None) -> None:
        """``value`` has to be ``at_least``, more than that if it is 0, and anything if it is None."""
        passed = at_least is None or (value >= at_least if at_least else value > 0)
        self.failed += not passed
        sign = ">=" if at_least else ">"
        verdict = "no bar" if at_least is None else f"bar {sign} {at_least:g}: {'pass' if passed else 'FAIL'}"
        self.note(title, f"{text}: {value:+.4g}, {verdict}")

    def note(self, title: str, text: str) -> None:
        """A line without a bar."""
        print(f"{title:<16} {text}", flush=True)
