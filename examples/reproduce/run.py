"""The comparison itself: every method on every phantom, then on fewer tilts."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from reproduce import plan, report
from reproduce.store import Store

from tomoprior import metrics


class Run:
    """One size of the comparison."""

    def __init__(self, args: argparse.Namespace) -> None:
        self.args, self.size = args, plan.SIZES[args.size]
        self.store = Store(args.output / "kept")
        self.table = report.Table(args.output / "table.csv")

    def is_available(self, phantom: str) -> bool:
        """Return True if the phantom's file exists; print a line if not."""
        if phantom == "capsid" and not (self.args.capsid and self.args.capsid.is_file()):
            print(f"capsid is left out: no file {self.args.capsid or '(--capsid, or TOMOPRIOR_DATA)'}")
            return False
        return True

    def simulate(self, phantom: str, step: int) -> tuple[Any, Any]:
        """Return tilt series and truth."""
        settings = {"file": self.args.capsid} if phantom == "capsid" else {}
        angles = plan.tilts(plan.RANGE, step)
        return self.store.simulation(phantom, self.size.shape_of(phantom), angles, plan.SEED, settings)

    def rows(self, phantom: str, series: Any, truth: Any, y: slice, tilts: tuple[int, int], names: Iterable[str]) -> Any:
        """Reconstruct the slices ``y`` by every method; return the volumes by name, and their rows."""
        series, truth, volumes, rows = series.rows(y.start, y.stop), truth[:, y], {}, []
        for name in names:
            method, settings = plan.METHODS[name]
            settings = {**settings, **self.size.instead.get(name, {})}
            stored = self.store.reconstruction(f"{phantom}-{name}", series, method, settings)
            scores = metrics.evaluate(stored["volume"], truth, angles=series.geometry.angles, mode="paper")
            cells = {k: float(scores[k]) for k in ("psnr", "ssim", "vif")} | {"missing_fsc": float(scores["fsc_missing_mean"])}
            cells |= {"seconds": float(stored["seconds"]), "threads": int(stored["threads"])}
            place = {"phantom": phantom, "slices": y.stop - y.start, "range": tilts[0], "step": tilts[1], "method": name}
            rows.append(self.table.add(**place, **cells))
            volumes[name] = stored["volume"]
        self.table.save()
        return volumes, rows

    def compare(self, phantom: str) -> None:
        """Make rows and figures of the whole and, where ``cn-paper`` would take too long, of its slices."""
        series, truth = self.simulate(phantom, plan.STEP)
        ny = truth.shape[1]
        crop, paper = plan.middle(ny, self.size.crop), "cn-paper" in self.args.methods
        parts = {"": (slice(0, ny), [m for m in self.args.methods if m != "cn-paper" or crop == slice(0, ny)])}
        if paper and crop != slice(0, ny):
            parts[f"-{self.size.crop}-slices"] = (crop, self.args.methods)
        for label, (y, names) in parts.items():
            volumes, _ = self.rows(phantom, series, truth, y, (plan.RANGE, plan.STEP), names)
            report.show(self.args.output, phantom + label, truth[:, y], volumes, series.geometry.angles)

    def sweep(self, phantom: str) -> None:
        """Make rows and figures for other steps and ranges."""
        series, truth = self.simulate(phantom, 1)
        y = plan.middle(truth.shape[1], self.size.swept)
        sweeps = {"step": [(plan.RANGE, s) for s in self.size.steps], "range": [(r, plan.STEP) for r in self.size.ranges]}
        for x, tilts in sweeps.items():
            rows: list[dict[str, Any]] = []
            for t in tilts:
                rows += self.rows(phantom, plan.select_tilts(series, *t), truth, y, t, self.args.swept)[1]
            report.lines(self.args.output, f"sweep-{x}-{phantom}", x, rows)
