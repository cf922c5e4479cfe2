"""The input series of a command: the options that choose and prepare it, and the series that they give.

A command takes each option under the name that ``SeriesOptions`` has for it, with the type that is named here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from tomoprior.geometry import Geometry
    from tomoprior.series import TiltSeries

#: A larger share of bad pixels is a mistake in the reading, not a flaw of the detector.
MOST_BAD = 0.05

#: Tilts that are looked at for what their values are: a series too large for memory is not read once more for that.
SAMPLED = 5

#: Columns of a binned series at least.
LEAST_COLUMNS = 4

File: TypeAlias = Annotated[Path, typer.Argument(metavar="IN", help="Tilt series: MRC, HDF5, TIFF, Zarr, NumPy.", exists=True)]
Angles: TypeAlias = Annotated[
    Path | None, typer.Option(help="Tilt angles in degrees: .tlt, .rawtlt, .mdoc. Default: in or beside IN.")
]
AngleUnit: TypeAlias = Annotated[str | None, typer.Option(help="degree or radian, for a side file that looks like the other.")]
AngleRange: TypeAlias = Annotated[
    tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Use only tilts from LOW to HIGH degrees.")
]
Exclude: TypeAlias = Annotated[
    str | None, typer.Option(help="Tilts to leave out, as 1,40-45; counted from 0, as `tomoprior info --views` lists them.")
]
FlipHand: TypeAlias = Annotated[bool, typer.Option("--flip-hand", help="Negate the angles: the volume is mirrored in z.")]
Center: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="Rotation axis in pixels from the left edge (index + 0.5), or a file with one per slice. Default: middle."
    ),
]
Shifts: TypeAlias = Annotated[Path | None, typer.Option(help="IMOD .xf file of pure shifts that align the tilts.")]
Thickness: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Voxels along z, unbinned. Default: the detector's width.")
]
Bin: TypeAlias = Annotated[int, typer.Option(min=1, help="Bin the projections by this factor.")]
VoxelSize: TypeAlias = Annotated[float | None, typer.Option(help="Override the file's pixel size.")]
Unit: TypeAlias = Annotated[str | None, typer.Option(help="Unit of --voxel-size: angstrom, nanometer, micrometer, ...")]
MinusLog: TypeAlias = Annotated[bool, typer.Option("--minus-log", help="Data are transmissions: take minus the logarithm.")]
Repair: TypeAlias = Annotated[bool, typer.Option("--repair", help="Replace NaN and infinite pixels by the median around them.")]


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """What the user says of the input series; every attribute is the option of its name."""

    file: Path
    angles: Path | None = None
    angle_unit: str | None = None
    angle_range: tuple[float, float] | None = None
    exclude: str | None = None
    flip_hand: bool = False
    center: str | None = None
    shifts: Path | None = None
    thickness: int | None = None
    bin: int = 1
    voxel_size: float | None = None
    unit: str | None = None
    minus_log: bool = False
    repair: bool = False

    @property
    def files(self) -> list[Path]:
        """What is named to be read: none of it may become an output."""
        return [path for path in (self.file, self.angles, self.shifts) if path is not None]

    def opened(self) -> Opened:
        """Open the series and choose its tilts; of the pixels nothing is read yet.

        Raises
        ------
        FormatError, InputError, GeometryError
            One line that says what is wrong.
        """
        from tomoprior import formats
        from tomoprior.cli import parse
        from tomoprior.errors import InputError

        series = formats.read(
            self.file, angles=self.angles, angle_unit=self.angle_unit, center=parse.center(self.center),
            thickness=self.thickness, voxel_size=self.voxel_size, unit=parse.unit(self.unit), shifts=self.shifts,
            minus_log=self.minus_log,
        )  # fmt: skip
        series = _chosen_views(series, self.exclude, self.angle_range)
        columns = series.geometry.detector[1]
        if columns // self.bin < LEAST_COLUMNS:
            raise InputError(
                f"binning by {self.bin} leaves {columns // self.bin} column(s) of {columns}: too few to reconstruct from"
            )
        return Opened(self, series, list(series.metadata.get("warnings", [])))


@dataclass(frozen=True)
class Opened:
    """A series of the chosen tilts, its pixels still in the file.

    Attributes
    ----------
    notes
        Lines for the user, to which more may be added.
    """

    given: SeriesOptions
    series: TiltSeries
    notes: list[str]

    @property
    def geometry(self) -> Geometry:
        """What a reconstruction will have: that of the binned series."""
        return self.series.geometry.binned(self.given.bin)

    def prepared(self, *, lazily: bool = False) -> tuple[TiltSeries, list[str]]:
        """The series to reconstruct from, and all notes.

        Parameters
        ----------
        lazily
            Leave the pixels in the file and look at some tilts only; else they are read, and refused if some are not finite
            and no repair was asked for.

        Raises
        ------
        InputError
            For pixels that are not finite.
        """
        look = _some_pixels if lazily else _all_pixels
        series, found = look(self.series, repair=self.given.repair)
        notes = [*self.notes, *found]
        factor, (rows, columns) = self.given.bin, series.geometry.detector
        if rows % factor or columns % factor:
            notes.append(f"binning by {factor} leaves out the last {rows % factor} row(s) and {columns % factor} column(s)")
        series = series.binned(factor)
        return (series.flipped_hand() if self.given.flip_hand else series), notes


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


def _all_pixels(series: TiltSeries, *, repair: bool) -> tuple[TiltSeries, list[str]]:
    """The series in memory, repaired if asked, and what is odd about its values."""
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.series.pixels import describe_pixels, repair_pixels

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


def _some_pixels(series: TiltSeries, *, repair: bool) -> tuple[TiltSeries, list[str]]:
    """The series as it is to be read, and what some of its tilts look like."""
    import numpy as np

    from tomoprior.series.mending import RepairedArray
    from tomoprior.series.pixels import describe_pixels
    from tomoprior.storage.lazy import as_lazy

    n = series.geometry.n_angles
    some = np.unique(np.linspace(0, n - 1, min(n, SAMPLED)).round().astype(int))
    notes = list(describe_pixels(series.select(some)).warnings)
    return (replace(series, projections=RepairedArray(as_lazy(series.projections))) if repair else series), notes


def volume(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """A volume on the grid, from a file; raises InputError for another shape."""
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.formats import open_stack

    stack = open_stack(path)
    if tuple(stack.data.shape) != shape:
        raise InputError(f"{path}: a volume of shape {tuple(stack.data.shape)}, but the grid is {shape}")
    return np.asarray(stack.data[...], dtype=np.float32)
