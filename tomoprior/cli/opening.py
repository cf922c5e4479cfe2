"""Open and prepare the input series of a command."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import typer

from tomoprior.cli.inputs import SeriesOptions

if TYPE_CHECKING:
    from tomoprior.geometry import Geometry
    from tomoprior.series import TiltSeries

#: Largest share of bad pixels that a flaw of the detector explains. A larger share comes from a mistake in reading.
MAX_BAD_SHARE = 0.05

#: Smallest number of columns of a binned series.
MIN_COLUMNS = 4


@dataclass(frozen=True)
class Opened:
    """A series of the selected tilts, with its pixels still in the file.

    Attributes
    ----------
    options
        Options with which the series was opened.
    notes
        Lines for the user.
    """

    options: SeriesOptions
    series: TiltSeries
    notes: list[str]

    @property
    def geometry(self) -> Geometry:
        """Geometry of the binned series, which is that of the reconstruction."""
        return self.series.geometry.binned(self.options.bin)

    def prepared(self, *, lazily: bool = False) -> tuple[TiltSeries, list[str]]:
        """Return the series for the reconstruction, and all notes.

        Parameters
        ----------
        lazily
            True: leave the pixels in the file, and check some tilts only. False: read all pixels, and refuse them if some are
            not finite and ``--repair`` is not set.

        Raises
        ------
        InputError
            For pixels that are not finite.
        """
        from tomoprior.cli import optics
        from tomoprior.running.doubts import describe_geometry
        from tomoprior.series.field_of_view import describe_field_of_view

        check = _check_some_tilts if lazily else _load_and_check
        series, pixel_notes = check(self.series, repair=self.options.repair)
        notes = [*self.notes, *describe_geometry(series.geometry), *pixel_notes]
        notes += describe_field_of_view(series.projections, series.geometry, series.weights)
        factor, (rows, columns) = self.options.bin, series.geometry.detector
        if rows % factor or columns % factor:
            notes.append(f"binning by {factor} leaves out the last {rows % factor} row(s) and {columns % factor} column(s)")
        series, optics_notes = optics.with_corrected_images(series.binned(factor), self.options)
        return (series.flipped_hand() if self.options.flip_hand else series), [*notes, *optics_notes]


def open_series(options: SeriesOptions) -> Opened:
    """Open the series and select its tilts; no pixel is read yet.

    Raises
    ------
    FormatError, InputError, GeometryError
        One line that says what is wrong.
    """
    from tomoprior import formats
    from tomoprior.cli import optics, parse
    from tomoprior.errors import InputError

    optics.check(options)
    named = {name: getattr(options, name) for name in ("dataset", "angles_dataset", "image_key")}
    center = None if options.center == "auto" else parse.center(options.center)
    series = formats.read_series(
        options.file, angles=options.angles, angle_unit=options.angle_unit, center=center, tilt_axis=options.tilt_axis,
        thickness=options.thickness, width=options.width, voxel_size=options.voxel_size, unit=parse.unit(options.unit),
        shifts=options.shifts, minus_log=options.minus_log, i0=options.i0, invert=options.invert, subtract=options.subtract,
        flats=options.flats, darks=options.darks, **{name: value for name, value in named.items() if value is not None},
    )  # fmt: skip
    series = optics.with_transfer(series, options)
    series = _select_tilts(series, options.exclude, options.angle_range)
    columns = series.geometry.detector[1]
    if columns // options.bin < MIN_COLUMNS:
        raise InputError(
            f"binning by {options.bin} leaves {columns // options.bin} column(s) of {columns}, too few for a reconstruction"
        )
    if options.center == "auto":
        from tomoprior.alignment.center import with_center

        series = with_center(series)
    return Opened(options, series, list(series.metadata.get("warnings", [])))


def _select_tilts(series: TiltSeries, exclude: str | None, angle_range: tuple[float, float] | None) -> TiltSeries:
    import numpy as np

    from tomoprior.cli import parse

    if exclude is not None:
        views = parse.view_list(exclude)
        rest = series.exclude(views)
        degrees = np.rad2deg(series.geometry.angles)
        typer.echo("leaving out  " + ", ".join(f"{v} ({degrees[v]:.1f} deg)" for v in views))
        series = rest
    if angle_range is not None:
        series = series.angle_range(*np.deg2rad(angle_range))
    return series


def _load_and_check(series: TiltSeries, *, repair: bool) -> tuple[TiltSeries, list[str]]:
    """Return the series in memory, repaired with ``repair``, and lines about its values."""
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.series.pixels import describe_pixels, repair_pixels

    report = describe_pixels(series)
    notes = list(report.warnings)
    share = report.n_bad / np.prod(series.projections.shape)
    if share > MAX_BAD_SHARE:
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


def _check_some_tilts(series: TiltSeries, *, repair: bool) -> tuple[TiltSeries, list[str]]:
    """Return the series, repaired with ``repair`` when it is read, and lines about the values of some of its tilts."""
    from tomoprior.running.doubts import SAMPLED_TILTS
    from tomoprior.series.mending import RepairedArray
    from tomoprior.series.pixels import describe_pixels
    from tomoprior.storage.lazy import as_lazy

    notes = list(describe_pixels(series, SAMPLED_TILTS).warnings)
    return (replace(series, projections=RepairedArray(as_lazy(series.projections))) if repair else series), notes
