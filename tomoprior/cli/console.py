"""The lines that ``tomoprior recon`` prints: the input, its cost, and the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from tomoprior import memory
from tomoprior.geometry import FanGeometry
from tomoprior.methods.base import Method
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.doubts import describe_fit
from tomoprior.running.estimate import Estimate
from tomoprior.series import TiltSeries
from tomoprior.storage.files import companion_path


def print_header(file: Path, series: TiltSeries, method: Method, settings: Any, *, given_center: bool) -> None:
    """Print the series, the volume's grid and the method with its settings."""
    print_series(file, series, given_center=given_center)
    values = {k: v for k, v in settings.model_dump().items() if v is not None}
    typer.echo(f"method       {method.name}: {', '.join(f'{k}={v}' for k, v in values.items())}")


def print_series(file: Path, series: TiltSeries, *, given_center: bool) -> None:
    """Print the series and the volume's grid."""
    geometry = series.geometry
    degrees = np.rad2deg(geometry.angles)
    size = "unknown size" if geometry.unit == "pixel" else f"{geometry.voxel_size:.6g} {geometry.unit}"
    typer.echo(
        f"series       {file}: {geometry.n_angles} tilts from {degrees.min():.4g} to {degrees.max():.4g} degrees, "
        f"{geometry.detector[0]} x {geometry.detector[1]} (y, x) pixels of {size}"
    )
    typer.echo(f"angles       from {series.metadata.get('angles_from')}")
    low, high = geometry.center.min(), geometry.center.max()
    axis = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    stated = given_center or isinstance(geometry, FanGeometry)
    typer.echo(f"axis         at {axis} pixels from the left edge" + ("" if stated else " (the middle; --center changes it)"))
    if isinstance(geometry, FanGeometry):
        typer.echo(
            f"rays         a fan: source {geometry.source_distance:.6g}, detector {geometry.detector_distance:.6g} voxels from "
            f"the axis, pixels of {geometry.pixel_size:.6g} voxels"
        )
    typer.echo(f"volume       {' x '.join(map(str, geometry.shape))} (z, y, x) voxels")


def print_cost(method: Method, estimate: Estimate, notes: list[str]) -> None:
    """Print memory and time of a run in memory, and the notes."""
    free = memory.available()
    if method.uses_projector:
        typer.echo(f"projector    {estimate.backend} on {estimate.device}: {memory.format_bytes(estimate.projector)}")
    typer.echo(f"memory       about {memory.format_bytes(estimate.memory)} of {memory.format_bytes(free)} free")
    if estimate.memory > free:
        notes = [*notes, "this needs more memory than is free: try --slab auto, --bin or a smaller --thickness"]
    typer.echo(f"time         about {format_estimate(estimate.seconds)}")
    print_notes(notes)


def print_notes(notes: list[str]) -> None:
    """Print notes for the user, one a line."""
    for note in notes:
        typer.echo(f"note         {note}")


def print_result(result: Reconstruction, out: Path, seconds: float) -> None:
    """Print the written files, and how well the volume fits the projections."""
    for name, array in (("std", result.std), ("determined", result.determined)):
        if array is not None:
            typer.echo(f"{name:<12} {companion_path(out, name)}")
    print_notes([*result.provenance.get("statement", []), *describe_fit(result.provenance)])
    residual = result.provenance.get("residual")
    ending = "" if residual is None else f", residual {residual:.4g}"
    typer.echo(f"wrote        {out} and {out.name}.json in {seconds:.1f} s{ending}")


def format_estimate(seconds: float) -> str:
    """Return an estimated time as text, rounded: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
