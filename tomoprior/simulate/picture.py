"""A picture of a simulation: slices of the truth and two of its tilts."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tomoprior.simulate.simulation import Simulation


def save_picture(simulation: Simulation, path: Path) -> None:
    """Write a picture of the truth's middle slices x-y and x-z and of the tilts nearest to and farthest from zero.

    Spoilt tilts are not shown.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    volume, projections = simulation.truth.volume, np.asarray(simulation.series.projections)
    nz, ny, nx = volume.shape
    degrees = np.rad2deg(simulation.series.geometry.angles)
    good = [i for i in range(len(degrees)) if i not in simulation.record.get("spoilt_tilts", ())]
    upright, steep = min(good, key=lambda i: abs(degrees[i])), max(good, key=lambda i: abs(degrees[i]))
    panels = [
        ("truth, middle x-y", volume[nz // 2]),
        (f"tilt of {degrees[upright]:.3g} deg", projections[upright]),
        ("truth, middle x-z", volume[:, ny // 2]),
        (f"tilt of {degrees[steep]:.3g} deg", projections[steep]),
    ]
    figure = Figure(figsize=(9, 0.8 + 9 / 2 * (ny + max(nz, ny)) / nx), layout="constrained")
    FigureCanvasAgg(figure)
    for axis, (title, image) in zip(figure.subplots(2, 2).ravel(), panels, strict=True):
        shown = axis.imshow(image, cmap="gray", interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set_xticks([])
        axis.set_yticks([])
        figure.colorbar(shown, ax=axis, shrink=0.7)
    figure.savefig(path, dpi=110)
