"""``tomoprior recon``: reconstruct a volume file from a tilt series file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomoprior.cli import inputs

if TYPE_CHECKING:
    from tomoprior.projector import ProjectorOptions
    from tomoprior.series import TiltSeries

# typer joins the lines of an epilog; \b keeps those of a paragraph
EXAMPLES = """\b
Examples:
  tomoprior recon series.mrc -o volume.mrc --method tv --thickness 256
  tomoprior recon series.st -o volume.mrc --angles series.tlt --exclude 0,57-60 --bin 2
  tomoprior recon scan.h5 -o volume.zarr --minus-log --center 296 --method wbp --set filter_name=hann
  tomoprior recon series.mrc -o volume.mrc --method sirt --set num_iter=200 --set min_constraint=0 --dry-run
  tomoprior recon series.mrc -o volume.mrc --method tv --invert --ctf-file series.defocus --ctf model
  tomoprior recon scan.zarr -o volume.zarr --method tv --workers 4   # slab by slab; after a crash, add --resume
"""


def recon(
    file: inputs.File,
    out: Annotated[Path, typer.Option("--out", "-o", help="Volume to write: .mrc, .h5, .tif, .zarr, .npy.")],
    method: Annotated[str, typer.Option("--method", "-m", help="A name that `tomoprior methods` lists.")] = "sirt",
    angles: inputs.Angles = None,
    dataset: inputs.Dataset = None,
    angles_dataset: inputs.AnglesDataset = None,
    flats: inputs.Flats = None,
    darks: inputs.Darks = None,
    image_key: inputs.ImageKey = None,
    angle_unit: inputs.AngleUnit = None,
    tilt_axis: inputs.TiltAxis = "y",
    angle_range: inputs.AngleRange = None,
    exclude: inputs.Exclude = None,
    flip_hand: inputs.FlipHand = False,
    center: inputs.Center = None,
    shifts: inputs.Shifts = None,
    thickness: inputs.Thickness = None,
    width: inputs.Width = None,
    bin: inputs.Bin = 1,
    voxel_size: inputs.VoxelSize = None,
    unit: inputs.Unit = None,
    minus_log: inputs.MinusLog = False,
    i0: inputs.I0 = None,
    invert: inputs.Invert = False,
    subtract: inputs.Subtract = None,
    repair: inputs.Repair = False,
    align: Annotated[
        bool, typer.Option("--align", help="Align the series first, as `tomoprior align` does; --bin applies before.")
    ] = False,
    refine_shifts: Annotated[
        int,
        typer.Option(
            "--refine-shifts",
            metavar="ROUNDS",
            min=0,
            help="Rounds that refine the shifts of the tilts with the method itself; each costs a run on up to 128 rows.",
        ),
    ] = 0,
    ctf_file: inputs.CTFFile = None,
    ctf: inputs.CTFMode = None,
    dose_file: inputs.DoseFile = None,
    dose_weight: inputs.DoseWeight = False,
    voltage: inputs.Voltage = None,
    cs: inputs.Cs = None,
    amplitude_contrast: inputs.AmplitudeContrast = None,
    defocus_hand: inputs.DefocusHand = 1,
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting of the method; may be repeated.")
    ] = None,
    fast: Annotated[
        bool,
        typer.Option("--fast", help="As fast as is useful: nothing is chosen by held-out tilts. --set takes precedence."),
    ] = False,
    initial: Annotated[Path | None, typer.Option(help="Volume to start from.", exists=True)] = None,
    mask: Annotated[Path | None, typer.Option(help="Volume of 0 and 1: where it is 0, the result is 0.", exists=True)] = None,
    field: Annotated[
        Path | None, typer.Option(help="Also write the fitted field (.safetensors), which can be sampled at any point.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
    backend: Annotated[str, typer.Option(help="auto, astra-matrix, astra-2d, astra-cuda or numba.")] = "auto",
    kind: Annotated[str, typer.Option(help="Kernel of the projector: linear, line or strip.")] = "linear",
    seed: Annotated[int, typer.Option(help="Seed of methods that draw random numbers.")] = 0,
    threads: Annotated[
        int | None, typer.Option(min=1, help="CPU threads, shared by the workers. Default: all cores of this process.")
    ] = None,
    slab: Annotated[
        str | None,
        typer.Option(
            metavar="auto|ROWS",
            help="Work slab by slab, from file to file. Default: only where the whole volume does not fit in memory.",
        ),
    ] = None,
    workers: Annotated[int, typer.Option(min=1, help="Number of slabs at a time, each in its own process.")] = 1,
    scheduler: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Dask scheduler whose workers do the slabs: tcp://host:8786, or tls://host:8786 with the next three options. "
            "Anyone who reaches a tcp:// port can run code on its workers.",
        ),
    ] = None,
    tls_ca: Annotated[
        Path | None, typer.Option(help="For --scheduler: certificate authority of the cluster (.pem).", exists=True)
    ] = None,
    tls_cert: Annotated[
        Path | None, typer.Option(help="For --scheduler: certificate of this client (.pem).", exists=True)
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(help="For --scheduler: private key of this client (.pem).", exists=True)
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue an unfinished run.")] = False,
    memory: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE",
            help="Memory for all processes of this machine, with their Python interpreters, as 8GiB. Default: 0.8 of the free "
            "memory.",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace OUT if it exists.")] = False,
    dtype: Annotated[
        str,
        typer.Option(
            metavar="float32|int16|int8",
            help="Type of the values in OUT. Whole numbers are scaled; a label and OUT.json say how.",
        ),
    ] = "float32",
    halves: Annotated[
        str | None,
        typer.Option(
            metavar="tilts|FILE",
            help="Reconstruct two halves: even and odd tilts of IN, or IN and FILE (even and odd frames). OUT is their mean; "
            "OUT_half1, _half2, _sharpened and _resolution are written too.",
        ),
    ] = None,
    fuse: Annotated[
        list[str] | None,
        typer.Option(
            metavar="METHOD",
            help="With --halves: reconstruct by this method too, with its defaults, and write OUT_fused, the combination that "
            "best predicts the other half at each frequency; may be repeated.",
        ),
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Check everything, estimate memory and time, write nothing.")
    ] = False,
) -> None:
    """Reconstruct a volume and record in OUT.json how. On Ctrl-C, methods with a field write their current volume."""
    from tomoprior.cli import console, halved, opening, optics, parse, slabbed
    from tomoprior.cli.alignment import align_series, refine_series
    from tomoprior.cli.outputs import check_field, check_output
    from tomoprior.errors import SettingsError
    from tomoprior.formats.addresses import name_source
    from tomoprior.methods.arguments import check_rays
    from tomoprior.methods.base import CheckedMethod
    from tomoprior.methods.solving.padding import settle_padding
    from tomoprior.projector import ProjectorOptions
    from tomoprior.running.arguments import resolve_method
    from tomoprior.running.estimate import estimate
    from tomoprior.running.in_memory import check_transfer_use

    # all checks come before any long work
    chosen, settings = resolve_method(method, None, parse.settings(setting or []), fast=fast)
    if dtype not in ("float32", "int16", "int8"):
        raise SettingsError(f"--dtype takes float32, int16 or int8, got {dtype!r}")
    slabs = slabbed.SlabOptions.parse(
        slab=slab, workers=workers, scheduler=scheduler, tls=(tls_ca, tls_cert, tls_key), memory=memory, resume=resume
    )
    options = inputs.SeriesOptions(
        file=file, angles=angles, dataset=dataset, angles_dataset=angles_dataset, flats=flats, darks=darks,
        image_key=image_key, angle_unit=angle_unit, tilt_axis=tilt_axis, angle_range=angle_range,
        exclude=exclude, flip_hand=flip_hand,
        center=center, shifts=shifts, thickness=thickness, width=width, bin=bin, voxel_size=voxel_size, unit=unit,
        minus_log=minus_log, i0=i0, invert=invert, subtract=subtract, repair=repair,
        ctf_file=ctf_file, ctf=ctf, dose_file=dose_file, dose_weight=dose_weight, voltage=voltage, cs=cs,
        amplitude_contrast=amplitude_contrast,
        defocus_hand=defocus_hand,
    )  # fmt: skip
    check_output(
        out, [*options.files, *(path for path in (initial, mask) if path is not None)], overwrite=overwrite or slabs.resume
    )
    check_field(field, chosen, overwrite=overwrite)
    halved.check(halves, out, field, fuse or [], slabs=slabs.enabled, overwrite=overwrite)
    if slabs.scheduler is not None:  # its workers may have another working directory
        file, initial, mask = Path(name_source(file)), initial and initial.resolve(), mask and mask.resolve()
        options = replace(options, file=file)
    opened = opening.open_series(options)
    check_rays(chosen, opened.geometry)
    if isinstance(chosen, CheckedMethod):
        chosen.check(opened.geometry, settings)
    projector = ProjectorOptions(device, kind, backend)  # type: ignore[arg-type]
    if halves is None:
        binned = opened.series.binned(bin)
        padded = settle_padding(settings, binned.projections, binned.geometry, binned.weights)  # the volume's real size
        slabs = slabs.resolved(binned.geometry, chosen, padded, projector, opened.notes)
    if optics.ctf_mode(options) == "model":
        check_transfer_use(opened.series, chosen, slabs=slabs.enabled)
    series, notes = opened.prepared(lazily=slabs.enabled)
    if align:  # once, so that all slabs share it
        series, notes = align_series(series, notes)
    if refine_shifts and not dry_run:
        series, settings = refine_series(series, chosen, settings, projector, refine_shifts, seed=seed, threads=threads)
    settings = settle_padding(settings, series.projections, series.geometry, series.weights)
    if slabs.enabled:
        if dtype != "float32":
            raise SettingsError("--dtype: a volume that is made slab by slab is float32; its range is not known before its end")
        console.print_header(file, series, chosen, settings, given_center=center is not None)
        slabbed.run(
            series, chosen, settings, out, projector, slabs, notes, field=field, dry_run=dry_run, overwrite=overwrite,
            threads=threads, initial=_lazily(initial), mask=_lazily(mask), seed=seed,
        )  # fmt: skip
        return
    start = None if initial is None else inputs.volume(initial, series.geometry.shape)
    mask_volume = None if mask is None else inputs.volume(mask, series.geometry.shape)
    console.print_header(file, series, chosen, settings, given_center=center is not None)
    counted, of_halves = (settings, []) if halves is None else halved.describe_cost(chosen, settings, halves)
    needed = estimate(series, chosen, settings=counted, device=device, kind=kind, backend=backend)  # type: ignore[arg-type]
    console.print_cost(chosen, needed, [*notes, *of_halves])
    if dry_run:
        typer.echo("dry run: nothing was written")
        return
    if halves is not None:
        other = None if halves == "tilts" else halved.open_other(options, Path(halves))
        halved.run(
            series, other, chosen, settings, out, notes, members=fuse or [], overwrite=overwrite,
            initial=start, mask=mask_volume, device=device, kind=kind, backend=backend, seed=seed, threads=threads,
        )  # fmt: skip
        return
    _run(
        series, chosen, settings, out, projector, field, notes, overwrite=overwrite, dtype=dtype,
        initial=start, mask=mask_volume, seed=seed, threads=threads,
    )  # fmt: skip


def _lazily(path: Path | None) -> Any:
    from tomoprior.formats import open_stack

    return None if path is None else open_stack(path).data


def _run(
    series: TiltSeries,
    method: Any,
    settings: Any,
    out: Path,
    projector: ProjectorOptions,
    field: Path | None,
    notes: list[str],
    *,
    overwrite: bool,
    dtype: Any,
    **arguments: Any,
) -> None:
    import shlex
    import sys

    from tomoprior._version import __version__
    from tomoprior.cli import console
    from tomoprior.cli.errors import InterruptedWithOutput, before_output
    from tomoprior.errors import Interrupted
    from tomoprior.formats import write
    from tomoprior.progress import progress_bar
    from tomoprior.running.in_memory import reconstruct_in_memory

    interrupted = False
    try:
        with before_output(), progress_bar(method.name) as step:
            result = reconstruct_in_memory(series, method, settings, projector, progress=step, **arguments)
    except Interrupted as stop:
        result, interrupted = stop.result, True
        notes = [*notes, "interrupted: this is the volume at that time"]
    result = replace(result, provenance={**result.provenance, "command": shlex.join(sys.argv), "notes": notes})
    label = f"tomoprior {__version__} {method.name}: {series.geometry.n_angles} tilts"
    write(result, out, overwrite=overwrite, dtype=dtype, labels=(label,))
    if field is not None:
        result.field.save(field, overwrite=overwrite)
        typer.echo(f"field        {field}")
    console.print_result(result, out, result.provenance["seconds"])
    if interrupted:
        typer.echo("interrupted  the volume is that of an unfinished run; run the command again for the full one", err=True)
        raise InterruptedWithOutput
