"""``tomoprior info``: the content of a file, as this program understands it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tomoprior.cli import inputs

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tomoprior.formats import Stack


def info(
    file: Annotated[
        Path,
        typer.Argument(help="A tilt series or a volume: MRC, HDF5, TIFF, Zarr, NumPy.", callback=inputs.check_exists),
    ],
    pixels: Annotated[bool, typer.Option(help="Read the values too: range, bad pixels, counts or line integrals.")] = True,
    dataset: inputs.Dataset = None,
    angles_dataset: inputs.AnglesDataset = None,
    angle_unit: inputs.AngleUnit = None,
    views: Annotated[bool, typer.Option("--views", help="List every tilt with its number and angle.")] = False,
) -> None:
    """Show shape, voxel size, angles and anything doubtful about a file."""
    import numpy as np

    from tomoprior.errors import TomopriorError
    from tomoprior.formats import open_stack, registry
    from tomoprior.formats.angle_sources import SeriesAngles, find_series_angles
    from tomoprior.formats.geometry_files import find_geometry_file, read_geometry
    from tomoprior.formats.sidefiles import find_angles
    from tomoprior.memory import format_bytes

    named = {"dataset": dataset, "angles_dataset": angles_dataset}
    options: dict[str, Any] = {name: value for name, value in named.items() if value is not None}
    stack = open_stack(file, **options)
    shape = tuple(stack.data.shape)
    size = int(np.prod(shape)) * np.dtype(stack.data.dtype).itemsize
    typer.echo(f"{file}: {registry.for_reading(file).name}, {stack.data.dtype}, {format_bytes(size)}")
    typer.echo(f"shape        {shape[0]} x {shape[1]} x {shape[2]}  (tilt, y, u) of a series, (z, y, x) of a volume")
    typer.echo(f"voxel size   {stack.voxel_size:.6g} {stack.unit}")
    angles: SeriesAngles | None = None
    beside = find_geometry_file(file)
    try:
        if beside is not None:
            typer.echo(f"geometry     {read_geometry(beside, (shape[1], shape[2]))}  (from {beside})")
        else:
            angles = find_series_angles(file, stack, unit=angle_unit)
    except TomopriorError as error:
        has_some = (
            beside is not None or stack.angles is not None or stack.rejected_angles is not None or find_angles(file) is not None
        )
        typer.echo("angles       none that can be used" if has_some else "angles       none in the file or beside it")
        if has_some:
            typer.echo(f"warning      {error}")
    if angles is not None:
        _print_angles(np.rad2deg(angles.values), "the file" if angles.source == str(file) else angles.source, views=views)
    for label in stack.labels:
        typer.echo(f"label        {label}")
    for key, value in stack.attrs.items():
        typer.echo(f"{key:<12} {value}")
    for warning in (*stack.warnings, *(() if angles is None else angles.notes)):
        typer.echo(f"warning      {warning}")
    if pixels:
        _print_values(stack, is_series=angles is not None or beside is not None)


def _print_angles(degrees: NDArray[np.float64], source: str, *, views: bool) -> None:
    import numpy as np

    steps = np.abs(np.diff(np.sort(degrees)))
    step = f", steps {steps.min():.4g} to {steps.max():.4g}" if len(steps) else ""
    typer.echo(f"angles       {len(degrees)} from {degrees.min():.4g} to {degrees.max():.4g} degrees{step}  (from {source})")
    if views:
        for number, angle in enumerate(degrees):
            typer.echo(f"  tilt {number:4d}  {angle:9.3f}")


def _print_values(stack: Stack, *, is_series: bool) -> None:
    import numpy as np

    from tomoprior.geometry import Geometry
    from tomoprior.series import TiltSeries
    from tomoprior.series.pixels import describe_pixels

    n, ny, nu = stack.data.shape
    # only the values matter here, not their angles
    report = describe_pixels(TiltSeries(stack.data, Geometry(np.zeros(n), (1, ny, nu)), metadata={"counts": stack.counts}))
    typer.echo(
        f"values       {report.minimum:.6g} to {report.maximum:.6g}, mean {report.mean:.6g}"
        + (f"; look like {report.looks_like}" if is_series else "")
    )
    # advice on projections does not apply to a volume
    for warning in report.warnings if is_series or report.n_bad else ():
        typer.echo(f"warning      {warning}")
