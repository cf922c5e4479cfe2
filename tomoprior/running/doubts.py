"""Find reasons to doubt a reconstruction, from its projections and its residual: warnings in Python, notes in a shell."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from tomoprior.errors import ReadingWarning, ResultWarning
from tomoprior.formats.angle_sources import degrees_note
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries
from tomoprior.series.field_of_view import describe_field_of_view
from tomoprior.series.pixels import describe_pixels

#: Relative residual above which a volume explains almost nothing of the projections. A volume of zeros has 1.
EXPLAINS_NOTHING = 0.9
#: Number of tilts whose values are checked in a series that is too large to be read twice.
SAMPLED_TILTS = 5
#: Distance from a residual of 1 that counts as rounding.
ROUNDING = 1e-3


def describe_fit(provenance: Mapping[str, Any]) -> list[str]:
    """Return one line for the user if the residual in a record is so large that the volume explains nothing, else none."""
    residual = provenance.get("residual")
    if residual is None or not residual > EXPLAINS_NOTHING:
        return []
    bound = provenance.get("settings", {}).get("min_constraint")
    if bound == "auto":
        bound = provenance.get("settled", {}).get("min_constraint")
    if bound is not None and abs(residual - 1) < ROUNDING:
        return [
            f"the volume is zero (residual {residual:.3g}): with min_constraint={bound:g} nothing else "
            "fits values that are dark on bright (--invert, read(..., invert=True)) or below zero (--subtract auto)"
        ]
    return [
        f"the volume explains next to nothing of the projections (residual {residual:.3g}): too few iterations, wrong angles "
        "or axis, or values that are no line integrals (--minus-log, --invert)"
    ]


def describe_geometry(geometry: Geometry) -> list[str]:
    """Return lines for the user about tilts that show no depth, angles that look like degrees, and an axis at the edge."""
    angles, nu = geometry.angles, geometry.detector[1]
    lines = list(degrees_note(angles))
    if len(angles) > 1 and np.ptp(angles) == 0:
        lines.append(f"all {len(angles)} tilts have the angle {np.rad2deg(angles[0]):.6g} degrees: they show no depth")
    edge = [float(c) for c in geometry.center if not 0 < c < nu]
    if edge and nu > 1:
        lines.append(
            f"the rotation axis at {edge[0]:.6g} is not within the detector of {nu} pixels; center counts from the left edge, "
            f"and the middle is {nu / 2:g}"
        )
    return lines


def warn_of_doubts(projections: Any, geometry: Geometry, provenance: Mapping[str, Any], *, stacklevel: int = 3) -> None:
    """Give a ``ResultWarning`` for each line of ``describe_geometry``, ``describe_field_of_view`` and ``describe_fit``."""
    lines = (*describe_geometry(geometry), *describe_field_of_view(projections, geometry), *describe_fit(provenance))
    for line in lines:
        warnings.warn(line, ResultWarning, stacklevel=stacklevel)


def warn_of_input(series: TiltSeries, *, lazily: bool = False, stacklevel: int = 3) -> None:
    """Give a ``ReadingWarning`` for each line of ``describe_pixels`` about a series that was read from a file.

    Parameters
    ----------
    series
        Values that are not finite are left to the run, which refuses them.
    lazily
        True: read some tilts only.
    stacklevel
        As for ``warnings.warn``.
    """
    if "angles_from" not in series.metadata:
        return
    report = describe_pixels(series, SAMPLED_TILTS if lazily else None)
    for line in () if report.n_bad and not lazily else report.warnings:
        warnings.warn(line, ReadingWarning, stacklevel=stacklevel)
