"""Run ``tomoprior recon --halves``: two reconstructions, their mean and their resolution."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from tomoprior._version import __version__
from tomoprior.cli import console
from tomoprior.cli.errors import before_output
from tomoprior.cli.inputs import SeriesOptions
from tomoprior.cli.opening import open_series
from tomoprior.errors import InputError, NoSuchFileError, SettingsError
from tomoprior.formats import sidefiles, write
from tomoprior.formats.geometry_files import find_geometry_file, geometry_path
from tomoprior.methods import get
from tomoprior.methods.base import HalvesMethod, Method
from tomoprior.progress import progress_bar
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.fusion import fuse
from tomoprior.running.halves import reconstruct_halves
from tomoprior.series import TiltSeries
from tomoprior.storage.files import check_target, companion_path

#: Endings of the files with the other volumes, beside the mean.
COMPANIONS = ("half1", "half2", "sharpened", "resolution")


def check(halves: str | None, out: Path, field: Path | None, members: list[str], *, slabs: bool, overwrite: bool) -> None:
    """Check the options before any work: raise for options that halves exclude, a missing file, or outputs that exist."""
    if halves is None:
        if members:
            raise SettingsError("--fuse weighs methods by halves of the data: give --halves too")
        return
    for name in members:
        get(name)
    if slabs:
        raise SettingsError("--halves works in memory: leave --slab, --workers, --scheduler, --memory and --resume out")
    if field is not None:
        raise SettingsError("--halves writes volumes only: leave --field out")
    if halves != "tilts":
        if not Path(halves).exists():
            raise NoSuchFileError(f"--halves takes tilts, or the file of the second half; {halves}: no such file")
        if out.exists() and Path(halves).samefile(out):
            raise InputError(f"{out} is an input of this run, and is not overwritten")
    for name in [*COMPANIONS, *(["fused"] if members else [])]:
        check_target(companion_path(out, name), overwrite=overwrite)


def describe_cost(method: Method, settings: Any, halves: str) -> tuple[Any, list[str]]:
    """Return the settings whose memory and time are estimated, and a note that says what the estimate leaves out."""
    frames = halves != "tilts"
    if frames and isinstance(method, HalvesMethod) and (together := method.settings_for_halves(settings)) is not None:
        return together, ["memory and time are those of the training; the network is then applied to each half"]
    chosen = "; settings left open take about ten short ones of each half more" if frames else ""
    return settings, [f"memory and time are those of one reconstruction, and there are two{chosen}"]


def open_other(options: SeriesOptions, file: Path) -> TiltSeries:
    """Return the series of the second half, prepared like the first; without angles of its own it takes those of the first."""
    angles = options.angles
    if find_geometry_file(options.file) is not None:
        if find_geometry_file(file) is None:
            raise InputError(f"{file} needs a geometry file of its own, {geometry_path(file).name}, as {options.file} has one")
    elif angles is None and sidefiles.find_angles(file) is None:
        found = sidefiles.find_angles(options.file)
        angles = None if found is None else str(found)
    return open_series(replace(options, file=file, angles=angles)).prepared()[0]


def run(
    series: TiltSeries,
    other: TiltSeries | None,
    method: Any,
    settings: Any,
    out: Path,
    notes: list[str],
    *,
    members: list[str],
    overwrite: bool,
    **arguments: Any,
) -> None:
    """Reconstruct both halves, and write the mean, both volumes, the sharpened mean and the local resolution.

    With further ``members``, methods with their defaults, also write the fusion of all.
    """
    with before_output(), progress_bar(method.name) as step:
        found = reconstruct_halves(series, other, method, settings=settings, progress=step, **arguments)
    others = []
    for name in members:
        with before_output(), progress_bar(name) as step:
            others.append(reconstruct_halves(series, other, name, progress=step, **arguments))
    record = {"command": shlex.join(sys.argv), "notes": notes}
    mean = replace(found.mean, provenance={**found.mean.provenance, **record})
    label = (f"tomoprior {__version__} {method.name}: mean of two halves",)
    write(mean, out, overwrite=overwrite, labels=label)
    volumes: dict[str, Any] = {
        "half1": found.first.volume, "half2": found.second.volume, "sharpened": found.sharpened.volume,
        "resolution": found.local,
    }  # fmt: skip
    for name, volume in volumes.items():
        if volume is not None:
            path = companion_path(out, name)
            write(Reconstruction(volume, mean.geometry, provenance=mean.provenance), path, overwrite=overwrite, labels=label)
            typer.echo(f"{name:<12} {path}")
    if others:
        fused = fuse([found, *others])
        fused = replace(fused, provenance={**fused.provenance, **record})
        path = companion_path(out, "fused")
        write(fused, path, overwrite=overwrite, labels=(f"tomoprior {__version__} fusion",))
        shares = zip(fused.provenance["members"], fused.provenance["explained"], strict=True)
        typer.echo(f"fused        {path}; explained of the other half: {', '.join(f'{n} {e:.3g}' for n, e in shares)}")
    typer.echo(f"resolution   {found.resolution:.4g} {mean.unit}: a correlation of 0.5 with the truth is expected")
    typer.echo(f"halves       correlate 0.143 at {found.half_resolution:.4g} {mean.unit}, which a prior makes too fine")
    console.print_result(mean, out, mean.provenance["seconds"])
