"""Define the options that select and prepare the input series of a command.

A command declares each option with its name in ``SeriesOptions`` and its type from this module.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def check_exists(path: Path) -> Path:
    """Return the path of an input, or raise BadParameter if it is neither an existing file nor an address."""
    from tomoprior.formats.addresses import address_of

    if address_of(path) is None and not path.exists():
        raise typer.BadParameter(f"Path {str(path)!r} does not exist.")
    return path


File: TypeAlias = Annotated[
    Path,
    typer.Argument(
        metavar="IN",
        help="Tilt series: MRC, HDF5, TIFF, Zarr, NumPy; with extras .dm3, .dm4, .ser, .emd, and Zarr at https:// or s3://.",
        callback=check_exists,
    ),
]
Angles: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FROM:TO:STEP",
        help="Tilt angles in degrees: .tlt, .rawtlt, .mdoc, or a range as --angles=-60:60:2. Default: in or beside IN.",
    ),
]
Dataset: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Array in IN that holds the series (HDF5, Zarr, .npz).")
]
AnglesDataset: TypeAlias = Annotated[str | None, typer.Option(metavar="NAME", help="Array in IN that holds its angles (HDF5).")]
Flats: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="FILE|NAME", help="Flat fields to divide counts by: a file, or an array in IN (HDF5)."),
]
Darks: TypeAlias = Annotated[str | None, typer.Option(metavar="FILE|NAME", help="Dark fields to subtract first, likewise.")]
ImageKey: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="Array in IN: 0 for a projection, 1 for a flat, 2 for a dark field (HDF5).")
]
AngleUnit: TypeAlias = Annotated[str | None, typer.Option(help="degree or radian, for angles whose unit is not stated.")]
AngleRange: TypeAlias = Annotated[
    tuple[float, float] | None, typer.Option(metavar="LOW HIGH", help="Use only tilts from LOW to HIGH degrees.")
]
Exclude: TypeAlias = Annotated[
    str | None, typer.Option(help="Tilts to leave out, as 1,40-45; counted from 0, as `tomoprior info --views` lists them.")
]
TiltAxis: TypeAlias = Annotated[
    str,
    typer.Option(metavar="x|y", help="Axis of the images along which the tilt axis lies. x: rows and columns change places."),
]
FlipHand: TypeAlias = Annotated[bool, typer.Option("--flip-hand", help="Negate the angles: the volume is mirrored in z.")]
Center: TypeAlias = Annotated[
    str | None,
    typer.Option(
        metavar="PIXELS|FILE|auto",
        help="Rotation axis in pixels from the left edge (index + 0.5), or a file with one per slice. auto: where the "
        "projections of an X-ray scan agree best. Default: middle.",
    ),
]
Shifts: TypeAlias = Annotated[Path | None, typer.Option(help="IMOD .xf file of pure shifts that align the tilts.")]
Thickness: TypeAlias = Annotated[
    int | None, typer.Option(min=1, help="Voxels along z, unbinned. Default: the detector's width.")
]
Width: TypeAlias = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="Voxels along x, unbinned. Default: the detector's width; more for a specimen that is wider, or for 360 degrees "
        "with the axis near an edge.",
    ),
]
Bin: TypeAlias = Annotated[int, typer.Option(min=1, help="Bin the projections by this factor.")]
VoxelSize: TypeAlias = Annotated[float | None, typer.Option(help="Override the file's pixel size.")]
Unit: TypeAlias = Annotated[str | None, typer.Option(help="Unit of --voxel-size: angstrom, nanometer, micrometer, ...")]
MinusLog: TypeAlias = Annotated[bool, typer.Option("--minus-log", help="Data are transmissions: take minus the logarithm.")]
I0: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--i0",
        metavar="auto|VALUE",
        help="Bright-field counts without specimen: take minus the log of value / i0. auto: 95th percentile of each tilt.",
    ),
]
Invert: TypeAlias = Annotated[
    bool, typer.Option("--invert", help="Dark on bright becomes bright on zero: the 95th percentile of a tilt minus the value.")
]
Subtract: TypeAlias = Annotated[
    str | None,
    typer.Option(metavar="auto|VALUE", help="Background to subtract, as of HAADF. auto: the 5th percentile of each tilt."),
]
CTFFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Defocus of each tilt: IMOD .defocus, CTFFIND4 or AreTomo text, RELION .star. Matter must be bright (--invert).",
        exists=True,
    ),
]
CTFMode: TypeAlias = Annotated[
    str | None,
    typer.Option(
        "--ctf",
        metavar="model|phase-flip|none",
        help="model: the operator includes the contrast transfer (iterative methods). phase-flip: correct the images first. "
        "Default: model with --ctf-file, else none.",
    ),
]
DoseFile: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Dose of each tilt: .mdoc, RELION .star, or accumulated e/A^2, one per line.", exists=True),
]
DoseWeight: TypeAlias = Annotated[
    bool,
    typer.Option("--dose-weight", help="Weight frequencies by the damage of the dose (Grant and Grigorieff 2015)."),
]
Voltage: TypeAlias = Annotated[
    float | None, typer.Option(help="Acceleration voltage in kV. Default: from the files, else 300.")
]
Cs: TypeAlias = Annotated[
    float | None, typer.Option("--cs", help="Spherical aberration in mm. Default: from --ctf-file, else 2.7.")
]
AmplitudeContrast: TypeAlias = Annotated[
    float | None, typer.Option(help="Amplitude contrast from 0 to 1. Default: from --ctf-file, else 0.07.")
]
DefocusHand: TypeAlias = Annotated[
    int, typer.Option(help="Sign of the defocus' growth along the beam, 1 or -1; 0: one defocus for a whole image.")
]
Repair: TypeAlias = Annotated[bool, typer.Option("--repair", help="Replace NaN and infinite pixels by the median around them.")]


@dataclass(frozen=True, kw_only=True)
class SeriesOptions:
    """Options of the input series: every attribute has the name of its option."""

    file: Path
    angles: str | None = None
    dataset: str | None = None
    angles_dataset: str | None = None
    flats: str | None = None
    darks: str | None = None
    image_key: str | None = None
    angle_unit: str | None = None
    angle_range: tuple[float, float] | None = None
    exclude: str | None = None
    tilt_axis: str = "y"
    flip_hand: bool = False
    center: str | None = None
    shifts: Path | None = None
    thickness: int | None = None
    width: int | None = None
    bin: int = 1
    voxel_size: float | None = None
    unit: str | None = None
    minus_log: bool = False
    i0: str | None = None
    invert: bool = False
    subtract: str | None = None
    repair: bool = False
    ctf_file: Path | None = None
    ctf: str | None = None
    dose_file: Path | None = None
    dose_weight: bool = False
    voltage: float | None = None
    cs: float | None = None
    amplitude_contrast: float | None = None
    defocus_hand: int = 1

    @property
    def files(self) -> list[Path]:
        """Files that the command reads. None of them may become an output."""
        from tomoprior.formats.angle_ranges import parse_range

        files = [self.file]
        if self.angles is not None and parse_range(str(self.angles)) is None:
            files.append(Path(self.angles))
        files += [Path(text) for text in (self.flats, self.darks) if text is not None and Path(text).exists()]
        return [*files, *(path for path in (self.shifts, self.ctf_file, self.dose_file) if path is not None)]


def volume(path: Path, shape: tuple[int, int, int]) -> NDArray[np.float32]:
    """Return a volume on the grid from a file; raise InputError for another shape."""
    import numpy as np

    from tomoprior.errors import InputError
    from tomoprior.formats import open_stack

    stack = open_stack(path)
    if tuple(stack.data.shape) != shape:
        raise InputError(f"{path}: a volume of shape {tuple(stack.data.shape)}, but the grid is {shape}")
    return np.asarray(stack.data[...], dtype=np.float32)
