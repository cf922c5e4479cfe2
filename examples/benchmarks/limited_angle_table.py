"""The rows that are measured: kept in a CSV file after every run, so that a benchmark goes on where it stopped."""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
from limited_angle_opponents import SAMPLE, Key
from limited_angle_scores import BANDS

REGIONS = ("inside", "faces", "vacuum")

#: Columns of the file.
SCORES = ("psnr", "ssim", "inner", "fsc", "ap")
POWERS = tuple(f"power_{low:g}" for low in BANDS[:-1])
SPREAD = (*(f"{what}_{region}" for region in REGIONS for what in ("count", "cover", "z2")), "corr", "corr_inside")
COLUMNS = ("range", "section", "faces", "method", *SCORES, *POWERS, *SPREAD, "spoilt", "samples", "seconds")


class Table:
    """All rows of a file, by tilt range, section, source of the faces, and method."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[int, int, str, str], dict[str, float]] = {}
        if path.exists():
            with open(path, newline="", encoding="ascii") as file:
                for row in csv.DictReader(file):
                    key = int(row["range"]), int(row["section"]), row["faces"], row["method"]
                    self.rows[key] = {name: float(row[name]) for name in COLUMNS[4:] if row.get(name)}

    def add(self, span: int, section: int, key: Key, values: dict[str, Any]) -> None:
        """Keep a row, in the file too."""
        self.rows[(span, section, *key)] = values
        fresh = not self.path.exists()
        with open(self.path, "a", newline="", encoding="ascii") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if fresh:
                writer.writeheader()
            writer.writerow({"range": span, "section": section, "faces": key[0], "method": key[1], **values})

    def sections(self, span: int, *more: Key) -> list[int]:
        """Those that all methods of the range have been run on, and ``more``: means are taken over no others."""
        keys = {k[2:] for k in self.rows if k[0] == span and k[2:] != SAMPLE} | set(more)
        return sorted({k[1] for k in self.rows if all((span, k[1], *key) in self.rows for key in keys)})

    def means(self, span: int, *more: Key) -> dict[Key, dict[str, float]]:
        """Means of each method's scores over the sections of a range; regions' scores are means over their voxels."""
        found = {}
        for key in dict.fromkeys(k[2:] for k in self.rows if k[0] == span):
            rows = [self.rows[(span, n, *key)] for n in self.sections(span, *more) if (span, n, *key) in self.rows]
            if rows:
                found[key] = _mean(rows)
        return found

    def show(self, span: int) -> None:
        """Print the means of one range."""
        print(f"{span} degrees, sections {self.sections(span)}", flush=True)
        for (faces, method), mean in self.means(span).items():
            scores = "".join(f"  {name} {mean[name]:.3f}" for name in SCORES)
            print(f"  faces {faces:8s}{method:16s}{scores}  {mean['seconds']:.0f} s", flush=True)


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    found = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        region = name.partition("_")[2]
        counts = [row.get(f"count_{region}", 1.0) if name.startswith(("cover", "z2")) else 1.0 for row in rows]
        used = [(row[name], n) for row, n in zip(rows, counts, strict=True) if n and not math.isnan(row.get(name, math.nan))]
        found[name] = float(np.average([v for v, _ in used], weights=[n for _, n in used])) if used else float("nan")
    return found
