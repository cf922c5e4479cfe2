"""What ``tomoprior recon`` says, in lines for the terminal: what it has, what that takes, what became of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import typer

from tomoprior import memory
from tomoprior.methods.base import Method
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.estimate import Estimate
from tomoprior.series import TiltSeries
from tomoprior.storage.files import companion_path


def header(file: Path, found: TiltSeries, method: Method, settings: Any, *, given_center: bool) -> None:
    """The series, the volume and the method, as this program understands them."""
    series(file, found, given_center=given_center)
    left_open = {k: v for k, v in settings.model_dump().items() if v is not None}
    typer.echo(f"method       {method.name}: {', '.join(f'{k}={v}' for k, v in left_open.items())}")


def series(file: Path, series: TiltSeries, *, given_center: bool) -> None:
    """The series and the volume's grid."""
    geometry = series.geometry
    degrees = np.rad2deg(geometry.angles)
    typer.echo(
        f"series       {file}: {geometry.n_angles} tilts from {degrees.min():.4g} to {degrees.max():.4g} degrees, "
        f"{geometry.detector[0]} x {geometry.detector[1]} pixels of {geometry.voxel_size:.6g} {geometry.unit}"
    )
    typer.echo(f"angles       from {series.metadata.get('angles_from')}")
    low, high = geometry.center.min(), geometry.center.max()
    axis = f"{low:.6g}" if low == high else f"{low:.6g} to {high:.6g}"
    typer.echo(
        f"axis         at {axis} pixels from the left edge" + ("" if given_center else " (the middle; --center to change)")
    )
    typer.echo(f"volume       {' x '.join(map(str, geometry.shape))} (z, y, x)")


def cost(method: Method, projector: Projector, found: Estimate, left: list[str]) -> None:
    """Memory and time of a run in memory, then the notes that are left to tell."""
    free = memory.available()
    if method.uses_projector:
        typer.echo(f"projector    {projector.backend} on {projector.device}: {memory.format_bytes(found.projector)}")
    typer.echo(f"memory       about {memory.format_bytes(found.memory)} of {memory.format_bytes(free)} free")
    if found.memory > free:
        left = [*left, "this needs more memory than is free: try --bin, --backend astra-2d or a smaller --thickness"]
    typer.echo(f"time         about {duration(found.seconds)}")
    notes(left)


def notes(found: list[str]) -> None:
    """What the user should know, a line each."""
    for note in found:
        typer.echo(f"note         {note}")


def outcome(result: Reconstruction, out: Path, seconds: float) -> None:
    """What was written, and how well it fits the projections."""
    for name, array in (("std", result.std), ("determined", result.determined)):
        if array is not None:
            typer.echo(f"{name:<12} {companion_path(out, name)}")
    notes(result.provenance.get("statement", []))
    residual = result.provenance.get("residual")
    ending = "" if residual is None else f", residual {residual:.4g}"
    typer.echo(f"wrote        {out} and {out.name}.json in {seconds:.1f} s{ending}")


def duration(seconds: float) -> str:
    """For people: ``40 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
