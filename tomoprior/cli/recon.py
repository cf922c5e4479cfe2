"""``tomoprior recon``: from a tilt series on disk to a volume on disk."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from tomoprior.series import TiltSeries

#: A larger share of bad pixels is a mistake in the reading, not a flaw of the detector.
MOST_BAD = 0.05

# typer joins lines of an epilog; a form feed keeps the paragraph as it stands
EXAMPLES = """\b
Examples:
  tomoprior recon series.mrc -o volume.mrc --method tv --thickness 256
  tomoprior recon series.st -o volume.mrc --angles series.tlt --exclude 0,57-60 --bin 2
  tomoprior recon scan.h5 -o volume.zarr --minus-log --center 296 --method wbp --set filter_name=hann
  tomoprior recon series.mrc -o volume.mrc --method sirt --set num_iter=200 --set min_constraint=0 --dry-run
  tomoprior recon scan.zarr -o volume.zarr --method tv --workers 4   # slab by slab; after a crash, the same with --resume
"""


def recon(
    file: Annotated[Path, typer.Argument(metavar="IN", help="Tilt series: MRC, HDF5, TIFF, Zarr, NumPy.", exists=True)],
    out: Annotated[Path, typer.Option("--out", "-o", help="Volume to write: .mrc, .h5, .tif, .zarr, .npy.")],
    method: Annotated[str, typer.Option("--method", "-m", help="As `tomoprior methods` lists them.")] = "sirt",
    angles: Annotated[
        Path | None, typer.Option(help="Tilt angles in degrees: .tlt, .rawtlt, .mdoc. Default: in or beside IN.")
    ] = None,
    angle_unit: Annotated[str | None, typer.Option(help="degree or radian, for a side file that looks like the other.")] = None,
    angle_range: Annotated[
        tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Use only tilts from LOW to HIGH degrees.")
    ] = None,
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
    field: Annotated[
        Path | None, typer.Option(help="Write the fitted field here as well (.safetensors), to be sampled anywhere.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, astra-matrix, astra-2d or astra-cuda.")] = "auto",
    kind: Annotated[str, typer.Option(help="Kernel of the projector: linear, line or strip.")] = "linear",
    seed: Annotated[int, typer.Option(help="For methods that draw random numbers.")] = 0,
    slab: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ROWS", help="Work slab by slab, from file to file. Default: where the whole does not fit in memory."
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Slabs at a time, each in a process of its own.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Dask scheduler whose workers do the slabs: tcp://host:8786.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the slabs that an earlier run left.")] = False,
    memory: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Memory for all slabs at work, as 8GiB. Default: 0.8 of what is free.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, estimate memory and time, write nothing.")
    ] = False,
) -> None:
    """Reconstruct a volume; OUT.json beside it records how. Ctrl-C: methods with a field keep what they have."""
    from tomoprior import formats, methods
    from tomoprior.cli import parse, slabbed
    from tomoprior.errors import InputError
    from tomoprior.projector import Projector

    # everything that can be wrong is found before anything long begins
    chosen = methods.get(method)
    settings = chosen.Settings.parse(parse.settings(setting or []))
    cut = slabbed.Cut.of(slab, workers, scheduler, memory, resume=resume)
    _check_output(out, [file, angles, shifts, initial, mask], overwrite=overwrite or cut.resume)
    _check_field(field, chosen, overwrite=overwrite)
    if cut.scheduler is not None:  # its workers may have another working directory
        file, initial, mask = file.resolve(), initial and initial.resolve(), mask and mask.resolve()
    series = formats.read(
        file, angles=angles, angle_unit=angle_unit, center=parse.center(center), thickness=thickness, voxel_size=voxel_size,
        unit=parse.unit(unit), shifts=shifts, minus_log=minus_log,
    )  # fmt: skip
    series = _chosen_views(series, exclude, angle_range)
    notes = list(series.metadata.get("warnings", []))
    rows, columns = series.geometry.detector
    if columns // bin < 4:
        raise InputError(f"binning by {bin} leaves {columns // bin} column(s) of {columns}: too few to reconstruct from")
    cut = cut.decided(series.geometry.binned(bin), chosen, settings, device, kind, backend, notes)
    series, found = slabbed.pixels(series, repair=repair) if cut.asked else _pixels(series, repair=repair)
    notes += found
    if rows % bin or columns % bin:
        notes.append(f"binning by {bin} leaves out the last {rows % bin} row(s) and {columns % bin} column(s)")
    series = series.binned(bin)
    if flip_hand:
        series = series.flipped_hand()
    if cut.asked:
        _header(file, series, chosen, settings, given_center=center is not None)
        slabbed.run(
            series, chosen, settings, out, cut, notes, field=field, dry_run=dry_run, overwrite=overwrite,
            initial=_lazily(initial), mask=_lazily(mask), device=device, kind=kind, backend=backend, seed=seed,
        )  # fmt: skip
        return
    projector = Projector(series.geometry, device, kind, backend)  # type: ignore[arg-type]
    start = None if initial is None else _volume(initial, series.geometry.shape)
    inside = None if mask is None else _volume(mask, series.geometry.shape)
    _header(file, series, chosen, settings, given_center=center is not None)
    _say(chosen, projector, settings, notes)
    if dry_run:
        typer.echo("dry run: nothing was written")
        return
    _run(
        series, chosen, settings, out, field, notes, overwrite=overwrite,
        initial=start, mask=inside, device=device, kind=kind, backend=backend, seed=seed,
    )  # fmt: skip


def _check_output(out: Path, inputs: list[Path | None], *, overwrite: bool) -> None:
    from tomoprior.errors import OutputExistsError
    from tomoprior.formats import sidefiles
    from tomoprior.formats.registry import for_writing
    from tomoprior.formats.writing import check_target

    for_writing(out)
    named = [path for path in inputs if path is not None]
    beside = sidefiles.find_angles(named[0])
    for path in named if beside is None else [*named, beside]:
        if out.exists() and path.exists() and out.samefile(path):
            raise OutputExistsError(f"{out} is an input of this run, and is not overwritten")
    for target in (out, out.with_name(out.name + ".json")):
        check_target(target, overwrite=overwrite)


def _check_field(field: Path | None, method: Any, *, overwrite: bool) -> None:
    from tomoprior.errors import SettingsError
    from tomoprior.formats.writing import check_target

    if field is None:
        return
    if not getattr(method, "fits_field", False):
        raise SettingsError(f"{method.name} fits no field; leave --field out, or use --method cn")
    check_target(field, overwrite=overwrite)


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


def _lazily(path: Path | None) -> Any:
    from tomoprior.formats import open_stack

    return None if path is None else open_stack(path).data


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
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.pixels import describe_pixels, repair_pixels

    report = describe_pixels(series)
    notes = list(report.warnings)
    share = report.n_bad / np.prod(series.projections.shape)
    if share > MOST_BAD:
        reason = (
            "these are no transmissions; leave --minus-log out?" if series.metadata.get("minus_log") else "too many to repair"
        )
        raise InputError(f"{100 * share:.0f} % of the pixels are NaN or infinite: {reason}")
    if report.n_bad and not repair:
        raise InputError(f"{report.n_bad} pixel(s) are NaN or infinite; --repair replaces them by the median around them")
    if report.n_bad:
        series = repair_pixels(series)
        notes.append(f"repaired {report.n_bad} pixel(s)")
    return series.load(), notes


def _header(file: Path, series: TiltSeries, method: Any, settings: Any, *, given_center: bool) -> None:
    import numpy as np

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
    left_open = {k: v for k, v in settings.model_dump().items() if v is not None}
    typer.echo(f"method       {method.name}: {', '.join(f'{k}={v}' for k, v in left_open.items())}")


def _say(method: Any, projector: Any, settings: Any, notes: list[str]) -> None:
    from tomoprior import memory
    from tomoprior.cli.slabbed import duration
    from tomoprior.estimate import estimate

    cost = estimate(method, projector, settings)
    if method.uses_projector:
        typer.echo(f"projector    {projector.backend} on {projector.device}: {memory.text(cost.projector)}")
    typer.echo(f"memory       about {memory.text(cost.memory)} of {memory.text(memory.available())} free")
    if cost.memory > memory.available():
        notes = [*notes, "this needs more memory than is free: try --bin, --backend astra-2d or a smaller --thickness"]
    typer.echo(f"time         about {duration(cost.seconds)}")
    for note in notes:
        typer.echo(f"note         {note}")


def _run(
    series: TiltSeries,
    method: Any,
    settings: Any,
    out: Path,
    field: Path | None,
    notes: list[str],
    *,
    overwrite: bool,
    **arguments: Any,
) -> None:
    import shlex
    import sys
    from dataclasses import replace

    from tomoprior._version import __version__
    from tomoprior.cli.errors import KeptSystemExit
    from tomoprior.cli.progress import bar
    from tomoprior.errors import Interrupted
    from tomoprior.formats import write
    from tomoprior.run import reconstruct

    interrupted = False
    try:
        with bar(method.name) as step:
            result = reconstruct(series, method, settings=settings, progress=step, **arguments)
    except Interrupted as stop:
        result, interrupted = stop.result, True
        notes = [*notes, "interrupted: the volume is as good as it was by then"]
    result = replace(result, provenance={**result.provenance, "command": shlex.join(sys.argv), "notes": notes})
    write(
        result, out, overwrite=overwrite, labels=(f"tomoprior {__version__} {method.name}: {series.geometry.n_angles} tilts",)
    )
    if field is not None:
        result.field.save(field, overwrite=overwrite)
        typer.echo(f"field        {field}")
    residual = result.provenance.get("residual")
    ending = "" if residual is None else f", residual {residual:.4g}"
    for name, array in (("std", result.std), ("determined", result.determined)):
        if array is not None:
            typer.echo(f"{name:<12} {out.with_name(f'{out.stem}_{name}{out.suffix}')}")
    for sentence in result.provenance.get("statement", []):
        typer.echo(f"note         {sentence}")
    typer.echo(f"wrote        {out} and {out.name}.json in {result.provenance['seconds']:.1f} s{ending}")
    if interrupted:
        typer.echo("interrupted  this is what there was; run it again for all of it", err=True)
        raise KeptSystemExit
