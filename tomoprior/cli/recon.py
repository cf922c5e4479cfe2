"""``tomoprior recon``: from a tilt series on disk to a volume on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tomoprior.series import TiltSeries

# typer joins lines of an epilog; a form feed keeps the paragraph as it stands
EXAMPLES = """\b
Examples:
  tomoprior recon series.mrc -o volume.mrc --method tv --thickness 256
  tomoprior recon series.st -o volume.mrc --angles series.tlt --exclude 0,57-60 --bin 2
  tomoprior recon scan.h5 -o volume.zarr --minus-log --center 296 --method wbp --set filter_name=hann
  tomoprior recon series.mrc -o volume.mrc --method sirt --set num_iter=200 --set min_constraint=0 --dry-run
"""


def recon(
    file: Annotated[Path, typer.Argument(metavar="IN", help="Tilt series: MRC, HDF5, TIFF, Zarr, NumPy.", exists=True)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Volume to write: .mrc, .h5, .tif, .zarr, .npy.")],
    method: Annotated[str, typer.Option("--method", "-m", help="As `tomoprior methods` lists them.")] = "sirt",
    angles: Annotated[
        Path | None, typer.Option(help="Tilt angles in degrees: .tlt, .rawtlt, .mdoc. Default: in or beside IN.")
    ] = None,
    angle_range: Annotated[tuple[float, float] | None, typer.Option(help="Use only tilts from LOW to HIGH degrees.")] = None,
    exclude: Annotated[
        str | None, typer.Option(help="Tilts to leave out, as 1,40-45; counted from 0, as `tomoprior info --views` lists them.")
    ] = None,
    flip_hand: Annotated[bool, typer.Option("--flip-hand", help="Negate the angles: the volume is mirrored in z.")] = False,
    center: Annotated[
        str | None,
        typer.Option(
            help="Rotation axis in pixels from the left edge (index + 0.5), or a file with one per slice. Default: middle."
        ),
    ] = None,
    shifts: Annotated[Path | None, typer.Option(help="IMOD .xf file of pure shifts that align the tilts.")] = None,
    thickness: Annotated[
        int | None, typer.Option(min=1, help="Voxels along z, unbinned. Default: the detector's width.")
    ] = None,
    bin: Annotated[int, typer.Option(min=1, help="Bin the projections by this factor.")] = 1,
    voxel_size: Annotated[float | None, typer.Option(help="Override the file's pixel size.")] = None,
    unit: Annotated[str | None, typer.Option(help="Unit of --voxel-size: angstrom, nanometer, micrometer, ...")] = None,
    minus_log: Annotated[bool, typer.Option("--minus-log", help="Data are transmissions: take minus the logarithm.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Replace NaN and infinite pixels by the median around them.")
    ] = False,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; repeat it.")
    ] = None,
    initial: Annotated[Path | None, typer.Option(help="Volume to start from.", exists=True)] = None,
    mask: Annotated[Path | None, typer.Option(help="Volume of 0 and 1: outside, the result is zero.", exists=True)] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, astra-matrix, astra-2d or astra-cuda.")] = "auto",
    kind: Annotated[str, typer.Option(help="Kernel of the projector: linear, line or strip.")] = "linear",
    seed: Annotated[int, typer.Option(help="For methods that draw random numbers.")] = 0,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, estimate memory and time, write nothing.")
    ] = False,
) -> None:
    """Reconstruct a volume; OUT.json beside it records how."""
    from tomoprior import formats, methods
    from tomoprior.cli import parse
    from tomoprior.formats.registry import for_writing
    from tomoprior.formats.writing import check_target
    from tomoprior.projector import Projector

    # everything that can be wrong is found before anything long begins
    chosen = methods.get(method)
    settings = chosen.Settings.parse(parse.settings(setting or []))
    for_writing(out)
    record_path = out.with_name(out.name + ".json")
    for target in (out, record_path):
        check_target(target, overwrite=overwrite)
    series = formats.read(
        file, angles=angles, center=parse.center(center), thickness=thickness, voxel_size=voxel_size, unit=unit,
        shifts=shifts, minus_log=minus_log,
    )  # fmt: skip
    series = _chosen_views(series, exclude, angle_range)
    series = series.binned(bin)
    if flip_hand:
        series = series.with_geometry(series.geometry.flipped_hand())
    geometry = series.geometry
    projector = Projector(geometry, device, kind, backend)  # type: ignore[arg-type]
    notes = list(series.metadata.get("warnings", []))
    if initial is not None:
        initial_values = _volume(initial, geometry.shape)
    if mask is not None:
        mask_values = _volume(mask, geometry.shape)
    series, found = _pixels(series, repair=repair)
    notes += found
    _say(file, series, chosen, projector, settings, notes)
    if dry_run:
        typer.echo("dry run: nothing was written")
        return
    _run(
        series, chosen, settings, out, record_path, notes, overwrite=overwrite,
        initial=initial_values if initial is not None else None, mask=mask_values if mask is not None else None,
        device=device, kind=kind, backend=backend, seed=seed,
    )  # fmt: skip


def _chosen_views(series: TiltSeries, exclude: str | None, angle_range: tuple[float, float] | None) -> TiltSeries:
    import numpy as np

    from tomoprior.cli import parse

    if exclude is not None:
        views = parse.view_list(exclude)
        left_out = series.exclude(views)
        degrees = np.rad2deg(series.geometry.angles)
        typer.echo("leaving out  " + ", ".join(f"{v} ({degrees[v]:.1f} deg)" for v in views))
        series = left_out
    if angle_range is not None:
        series = series.angle_range(*np.deg2rad(angle_range))
    return series


def _volume(path: Path, shape: tuple[int, int, int]) -> Any:
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.formats import open_stack

    stack = open_stack(path)
    if tuple(stack.data.shape) != shape:
        raise InputError(f"{path}: a volume of shape {tuple(stack.data.shape)}, but the grid is {shape}")
    return np.asarray(stack.data[...], dtype=np.float32)


def _pixels(series: TiltSeries, *, repair: bool) -> tuple[TiltSeries, list[str]]:
    """The series in memory, repaired if asked, and what is odd about its values."""
    from tomoprior.errors import InputError
    from tomoprior.pixels import describe_pixels, repair_pixels

    report = describe_pixels(series)
    notes = list(report.warnings)
    if report.n_bad and not repair:
        raise InputError(f"{report.n_bad} pixel(s) are NaN or infinite; --repair replaces them by the median around them")
    if report.n_bad:
        series = repair_pixels(series)
        notes.append(f"repaired {report.n_bad} pixel(s)")
    return series.load(), notes


def _say(file: Path, series: TiltSeries, method: Any, projector: Any, settings: Any, notes: list[str]) -> None:
    import numpy as np

    from tomoprior import memory
    from tomoprior.estimate import estimate

    geometry = series.geometry
    degrees = np.rad2deg(geometry.angles)
    typer.echo(
        f"series       {file}: {geometry.n_angles} tilts from {degrees.min():.4g} to {degrees.max():.4g} degrees, "
        f"{geometry.detector[0]} x {geometry.detector[1]} pixels of {geometry.voxel_size:.6g} {geometry.unit}"
    )
    typer.echo(f"angles       from {series.metadata.get('angles_from')}")
    typer.echo(f"volume       {' x '.join(map(str, geometry.shape))} (z, y, x)")
    left_open = {k: v for k, v in settings.model_dump().items() if v is not None}
    typer.echo(f"method       {method.name}: {', '.join(f'{k}={v}' for k, v in left_open.items())}")
    cost = estimate(method, projector, settings)
    if method.uses_projector:
        typer.echo(f"projector    {projector.backend} on {projector.device}: {memory.text(cost.projector)}")
    typer.echo(f"memory       about {memory.text(cost.memory)} of {memory.text(memory.available())} free")
    typer.echo(f"time         about {_duration(cost.seconds)}")
    for note in notes:
        typer.echo(f"note         {note}")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _run(
    series: TiltSeries,
    method: Any,
    settings: Any,
    out: Path,
    record_path: Path,
    notes: list[str],
    *,
    overwrite: bool,
    **arguments: Any,
) -> None:
    import json

    from tomoprior._version import __version__
    from tomoprior.cli.progress import bar
    from tomoprior.formats import write
    from tomoprior.formats.writing import replacing
    from tomoprior.run import reconstruct

    with bar(method.name) as step:
        result = reconstruct(series, method, settings=settings, progress=step, **arguments)
    record = {"output": out.name, **result.provenance, "history": dict(result.history), "notes": notes}
    label = f"tomoprior {__version__} {method.name}: {series.geometry.n_angles} tilts"
    # the record is prepared first and put in place last: a volume never lacks one, and neither is there without the other
    with replacing(record_path, overwrite=overwrite) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n")
        write(result, out, overwrite=overwrite, labels=(label,))
    residual = result.history.get("residual")
    ending = f", residual {residual[-1]:.4g}" if residual else ""
    typer.echo(f"wrote        {out} and {record_path.name} in {result.provenance['seconds']:.1f} s{ending}")
