"""The table of measured rows: a CSV file with a row for each run, so that a benchmark continues where it stopped."""

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
    """All rows of a file by tilt range, section, source of the faces, and method."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: dict[tuple[int, int, str, str], dict[str, float]] = {}
        if path.exists():
            with open(path, newline="", encoding="ascii") as file:
                for row in csv.DictReader(file):
                    key = int(row["range"]), int(row["section"]), row["faces"], row["method"]
                    self.rows[key] = {name: float(row[name]) for name in COLUMNS[4:] if row.get(name)}

    def add(self, span: int, section: int, key: Key, values: dict[str, Any]) -> None:
        """Add a row, and append it to the file."""
        self.rows[(span, section, *key)] = values
        is_new = not self.path.exists()
        with open(self.path, "a", newline="", encoding="ascii") as file:
            writer = csv.DictWriter(file, COLUMNS)
            if is_new:
                writer.writeheader()
            writer.writerow({"range": span, "section": section, "faces": key[0], "method": key[1], **values})

    def list_sections(self, span: int, *more: Key) -> list[int]:
        """Return the sections with rows of all methods of the range and of ``more``; only these enter the means."""
        keys = {k[2:] for k in self.rows if k[0] == span and k[2:] != SAMPLE} | set(more)
        return sorted({k[1] for k in self.rows if all((span, k[1], *key) in self.rows for key in keys)})

    def compute_means(self, span: int, *more: Key) -> dict[Key, dict[str, float]]:
        """Return each method's mean scores over the sections of a range; scores of a region are means over its voxels."""
        means = {}
        for key in dict.fromkeys(k[2:] for k in self.rows if k[0] == span):
            rows = [self.rows[(span, n, *key)] for n in self.list_sections(span, *more) if (span, n, *key) in self.rows]
            if rows:
                means[key] = _average(rows)
        return means

    def print_means(self, span: int) -> None:
        """Print the means of one range."""
        print(f"{span} degrees, sections {self.list_sections(span)}", flush=True)
        for (faces, method), mean in self.compute_means(span).items():
            scores = "".join(f"  {name} {mean[name]:.3f}" for name in SCORES)
            print(f"  faces {faces:8s}{method:16s}{scores}  {mean['seconds']:.0f} s", flush=True)


def _average(rows: list[dict[str, float]]) -> dict[str, float]:
    averages = {}
    for name in dict.fromkeys(name for row in rows for name in row):
        region = name.partition("_")[2]
        counts = [row.get(f"count_{region}", 1.0) if name.startswith(("cover", "z2")) else 1.0 for row in rows]
        used = [(row[name], n) for row, n in zip(rows, counts, strict=True) if n and not math.isnan(row.get(name, math.nan))]
        averages[name] = float(np.average([v for v, _ in used], weights=[n for _, n in used])) if used else float("nan")
    return averages
