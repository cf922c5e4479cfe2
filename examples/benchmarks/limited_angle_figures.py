"""Pictures of one section, to see what the numbers mean."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from limited_angle_cases import Case
from matplotlib.axes import Axes

from tomoprior import reconstruct
from tomoprior.plot import Figure

#: Dots per inch of the files.
DPI = 90

#: Name of the panel with its own scale.
STD = "standard deviation"


def draw_section(
    c: Case, span: int, volumes: dict[str, np.ndarray], folder: Path, prior_setting: dict[str, Any], count: int = 3
) -> None:
    """Draw the truth, ``volumes`` and single samples of ``diffusion``: x-y and x-z through the middle."""
    faces: dict[str, Any] = {}
    panels = {"truth": c.truth, **volumes}
    for i in range(count):
        result = reconstruct(c.series, "diffusion", samples=1, mean="samples", seed=i + 1, **faces, **prior_setting)
        panels[f"sample {i + 1}"] = result.volume
        section = result.provenance["section"]
        faces = {"faces": tuple(section["faces"]), "face_std": section["face_std"]}  # the same for all samples
    panels = {name: panels[name] for name in sorted(panels, key=lambda name: name == STD)}
    nz, ny, _ = c.truth.shape
    figure = Figure(figsize=(2.1 * len(panels), 3.1))
    axes = figure.subplots(2, len(panels), height_ratios=(ny, nz), squeeze=False)
    for column, (label, volume) in zip(axes.T, panels.items(), strict=True):
        scale = (0.0, float(np.quantile(volume, 0.99))) if label == STD else (0.0, 1.0)
        for axis, image in zip(column, (volume[nz // 2], volume[:, ny // 2]), strict=True):
            _show_image(axis, image, scale, "magma" if label == STD else "gray_r")
        column[0].set_title(f"{label}\n0 to {scale[1]:.2f}" if label == STD else label, fontsize=9)
    axes[0, 0].set_ylabel("x-y", fontsize=8)
    axes[1, 0].set_ylabel("x-z", fontsize=8)
    figure.suptitle(f"{span} degrees", fontsize=10)
    figure.tight_layout(pad=0.4)
    figure.savefig(folder / f"section-{span:03d}.png", dpi=DPI)


def draw_tissue(samples: list[np.ndarray], truths: list[np.ndarray], folder: Path) -> None:
    """Draw unconditional samples above and slices of real tissue below; x-y through the middle."""
    figure = Figure(figsize=(2.2 * len(samples), 4.8))
    axes = figure.subplots(2, len(samples), squeeze=False)
    low, high = np.quantile(np.stack(truths), (0.005, 0.995))
    for row, label, volumes in zip(axes, ("samples", "tissue"), (samples, truths), strict=True):
        row[0].set_ylabel(label, fontsize=9)
        for axis, volume in zip(row, volumes, strict=True):
            _show_image(axis, volume[len(volume) // 2], (float(low), float(high)), "gray_r")
    figure.tight_layout(pad=0.4)
    figure.savefig(folder / "tissue.png", dpi=DPI)


def _show_image(axis: Axes, image: np.ndarray, scale: tuple[float, float], colours: str) -> None:
    axis.imshow(image, cmap=colours, vmin=scale[0], vmax=scale[1], interpolation="nearest")
    axis.set_xticks([])
    axis.set_yticks([])
