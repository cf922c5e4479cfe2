"""MRC: the stacks and volumes of electron microscopy (.mrc .st .ali .rec .mrcs .map)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.angles import RejectedAngles, usable_angles
from tomoprior.formats.checks import refuse_options
from tomoprior.formats.mdoc import mdoc_pixel_size
from tomoprior.formats.raw import RawArray, RawSink, write_at
from tomoprior.formats.sinks import Statistics
from tomoprior.storage.lazy import LazyArray, TransposedArray

from .compressed import UnpackedArray, read_start
from .extended import MAX_BYTES, tilt_angles
from .header import DTYPES, SIZE, MRCHeader, build, parse, plausible
from .sign import choose_sign

_UNDETERMINED = (0.0, -1.0, -2.0, -1.0)  # MRC2014: a maximum below the minimum means that the statistics are unknown
_MODES = {np.dtype(name): mode for mode, name in DTYPES.items()} | {np.dtype("u1"): 6, np.dtype("f8"): 2}


class MRC:
    """MRC2014 and what came before it, of either byte order. The array is ``[section, row, column]``, without a flip.

    Voxel sizes are in angstrom. A size that the header lacks is taken from an ``.mdoc`` beside the file, or else is 1 pixel,
    with a warning. Bytes are unsigned if IMOD's flag or the header's minimum and maximum say so; where the header has neither,
    if the values jump from one end of the signed range to the other. Tilt angles come from the
    extended headers of SerialEM and FEI. Files that are compressed as a whole (``.mrc.gz``, ``.mrc.bz2``) are read too.
    """

    name: ClassVar[str] = "mrc"
    extensions: ClassVar[tuple[str, ...]] = (".mrc", ".st", ".ali", ".rec", ".mrcs", ".map")
    is_folder: ClassVar[bool] = False
    holds_angles: ClassVar[bool] = False

    def matches(self, path: Path) -> bool:
        """Look for the mark ``MAP``; old files lack it and need the right name and a plausible header."""
        if not path.is_file():
            return False
        raw, _ = read_start(path, SIZE)
        named = path.name.lower().removesuffix(".gz").removesuffix(".bz2").endswith(self.extensions)
        return raw[208:211] == b"MAP" or (named and plausible(raw) is not None)

    def read(self, path: Path, **options: Any) -> Stack:
        """Open a file after a comparison of its header with its size."""
        refuse_options(options, "MRC")
        raw, packed = read_start(path, SIZE)
        header = parse(raw, path, None if packed else path.stat().st_size)
        warnings = list(header.warnings)
        size, unit = header.voxel_size, header.unit
        beside = _mdoc_pixel_size(path, warnings)
        if size is None and beside is not None:
            warnings.append(f"{path}: no voxel size in the header; {beside:g} angstrom from the .mdoc beside it")
            size = beside
        elif size is None:
            warnings.append(f"{path}: no voxel size in the header; taken as 1 pixel")
            size, unit = 1.0, "pixel"
        elif beside is not None and unit == "angstrom" and abs(beside - size) > 0.01 * size:
            warnings.append(f"{path}: {size:g} angstrom in the header, {beside:g} in the .mdoc beside it; the header's is used")
        angles = _angles(path, header)
        warnings += angles.pop("notes", ())
        dtype = header.dtype
        if not packed and not header.has_statistics:
            dtype = choose_sign(RawArray(path, header.offset, header.shape, dtype), warnings)
        kind = UnpackedArray if packed else RawArray
        data: LazyArray = kind(path, header.offset, header.shape, dtype)
        if header.order != (0, 1, 2):
            data = TransposedArray(data, header.order)
        return Stack(
            data,
            voxel_size=size,
            unit=unit,
            origin=header.origin,
            labels=header.labels,
            attrs=header.attrs,
            warnings=tuple(warnings),
            **angles,
        )

    def create(self, path: Path, header: Header) -> Sink:
        """Start a volume, or an image stack if there are angles. Bytes are widened because readers disagree on their sign."""
        return _Sink(path, header)

    def reopen(self, path: Path, header: Header) -> Sink:
        """Open the values of a file that ``create`` began."""
        return RawSink(path, SIZE, header.shape, _stored(path, header)[1], again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Read the values once for the header's statistics, section by section."""
        mode, dtype = _stored(path, header)
        data = RawArray(path, SIZE, header.shape, dtype)
        statistics = Statistics()
        for i in range(header.shape[0]):
            statistics.add(data[i])
        with path.open("r+b") as file:
            write_at(file.fileno(), build(header, mode, _header_statistics(statistics)), 0)
            os.fsync(file.fileno())


class _Sink(RawSink):
    def __init__(self, path: Path, header: Header) -> None:
        self._header = header
        self._mode, dtype = _stored(path, header)
        super().__init__(path, SIZE, header.shape, dtype)
        self._statistics = Statistics()

    def _write(self, z0: int, z1: int, y0: int, y1: int, values: NDArray[Any]) -> None:
        super()._write(z0, z1, y0, y1, values)
        self._statistics.add(values)

    def _complete(self) -> None:
        write_at(self._fd, build(self._header, self._mode, _header_statistics(self._statistics)), 0)


def _stored(path: Path, header: Header) -> tuple[int, np.dtype[Any]]:
    """Return the mode in which values are written and their type in the file; raises FormatError for a type that MRC lacks."""
    dtype = np.dtype(header.dtype).newbyteorder("=")
    if dtype not in _MODES:
        raise FormatError(f"{path}: MRC cannot hold values of type {dtype}; use float32")
    mode = _MODES[dtype]
    return mode, np.dtype(DTYPES[mode]).newbyteorder("<")


def _header_statistics(s: Statistics) -> tuple[float, float, float, float]:
    return (s.minimum, s.maximum, s.mean, s.std) if s.count else _UNDETERMINED


def _angles(path: Path, header: MRCHeader) -> dict[str, Any]:
    """Return the fields of a ``Stack`` about the angles in the extended header."""
    size, n = header.offset - SIZE, header.shape[0]
    if not 0 < size <= MAX_BYTES or n < 2 or header.order != (0, 1, 2):
        return {}
    kind, nint, nreal = header.extended
    degrees = tilt_angles(read_start(path, header.offset)[0][SIZE:], kind, nint, nreal, n, header.byte_order)
    if degrees is None:
        return {}
    if not np.any(degrees):  # as microscopes write where the stage was not read: no warning for volumes with such a header
        return {"rejected_angles": RejectedAngles(f"{path}: all {n} angles in its extended header are 0")}
    angles, rejected, notes = usable_angles(degrees, n, f"{path}: its extended header", unit="degree")
    return {"angles": angles, "rejected_angles": rejected, "nominal_angles": True, "notes": notes}


def _mdoc_pixel_size(path: Path, warnings: list[str]) -> float | None:
    plain = path.with_suffix("") if path.suffix.lower() in (".gz", ".bz2") else path
    for beside in (path.with_name(f"{path.name}.mdoc"), plain.with_name(f"{plain.name}.mdoc"), plain.with_suffix(".mdoc")):
        if beside.is_file():
            try:
                return mdoc_pixel_size(beside)
            except FormatError as error:
                warnings.append(f"{error}; not used")
    return None
