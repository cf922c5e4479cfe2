"""The results: rows on the terminal and in a CSV, figures of slices, of curves of the missing region, and of the sweeps."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl
from numpy.typing import NDArray

from tomoprior import plot
from tomoprior.formats import replace_atomically
from tomoprior.metrics import directional_fsc

mpl.use("Agg")
from matplotlib import pyplot as plt

Volumes = Mapping[str, NDArray[Any]]
HEADER = ("phantom", "slices", "range", "step", "method", "psnr", "ssim", "vif", "missing_fsc", "seconds", "threads")
UNITS = ("", "", "deg", "deg", "", "dB", "", "", "", "", "")
LINES = (("psnr", "PSNR (dB)"), ("ssim", "SSIM"), ("missing_fsc", "FSC of the missing region"))


class Table:
    """Rows that are printed at once, and written to a CSV at the end of each part."""

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, []
        self._print([f"{name} ({unit})" if unit else name for name, unit in zip(HEADER, UNITS, strict=True)])

    def add(self, **row: Any) -> dict[str, Any]:
        """Add and print one row, with a value for every name in ``HEADER``."""
        self.rows.append(row)
        self._print([f"{row[name]:.3f}" if isinstance(row[name], float) else str(row[name]) for name in HEADER])
        return row

    def _print(self, cells: list[str]) -> None:
        print(" ".join(f"{cell:>{max(11, len(name))}}" for name, cell in zip(HEADER, cells, strict=True)), flush=True)

    def save(self) -> None:
        """Write all rows so far."""
        with (
            replace_atomically(self.path, overwrite=True) as temporary,
            open(temporary, "w", newline="", encoding="utf-8") as file,
        ):
            writer = csv.DictWriter(file, HEADER)
            writer.writeheader()
            writer.writerows(self.rows)


def show(folder: Path, name: str, truth: NDArray[Any], volumes: Volumes, angles: NDArray[Any]) -> None:
    """Draw slices of all methods and the truth, and Fourier shell correlations of the missing region."""
    grey = (float(truth.min()), float(truth.max()))
    with replace_atomically(folder / f"slices-{name}.png", overwrite=True) as temporary:
        plot.slices({"truth": truth, **volumes}, grey=grey).savefig(temporary, dpi=110)
    figure, axis = plt.subplots(figsize=(6, 4), layout="constrained")
    for method, volume in volumes.items():
        curve = directional_fsc(volume, truth, angles, mask=None)["missing"]
        axis.plot(curve.frequency, curve.correlation, label=method)
    axis.set(xlabel="frequency (cycles per voxel)", ylabel="FSC of the missing region", title=name, ylim=(-0.1, 1.02))
    _save(figure, axis, folder / f"missing-fsc-{name}.png")


def lines(folder: Path, name: str, x: str, rows: list[dict[str, Any]]) -> None:
    """Draw the measures of every method against the column ``x``."""
    figure, axes = plt.subplots(1, len(LINES), figsize=(4 * len(LINES), 3.4), layout="constrained")
    for axis, (measure, label) in zip(axes, LINES, strict=True):
        for method in dict.fromkeys(row["method"] for row in rows):
            points = [(row[x], row[measure]) for row in rows if row["method"] == method]
            axis.plot(*zip(*points, strict=True), "o-", label=method)
        axis.set(xlabel={"step": "tilt step (degrees)", "range": "tilt range (± degrees)"}[x], ylabel=label)
    _save(figure, axes[0], folder / f"{name}.png")


def _save(figure: Any, axis: Any, path: Path) -> None:
    axis.legend()
    with replace_atomically(path, overwrite=True) as temporary:
        figure.savefig(temporary, dpi=120)
    plt.close(figure)
