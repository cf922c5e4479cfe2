"""MRC: the stacks and volumes of electron microscopy (.mrc .st .ali .rec .mrcs .map)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.checks import no_options
from tomoprior.formats.mdoc import mdoc_pixel_size
from tomoprior.formats.raw import RawArray, RawSink, readable_bytes, write_at
from tomoprior.formats.sinks import Statistics
from tomoprior.storage.lazy import LazyArray, TransposedArray

from .header import DTYPES, SIZE, build, parse, plausible

_UNDETERMINED = (0.0, -1.0, -2.0, -1.0)  # MRC2014: a maximum below the minimum says that no one has looked
_MODES = {np.dtype(name): mode for mode, name in DTYPES.items()} | {np.dtype("u1"): 6, np.dtype("f8"): 2}


class MRC:
    """MRC2014 and what came before it, of either byte order. The array is ``[section, row, column]``, without a flip.

    Voxel sizes are in angstrom. A size that the header lacks is taken from an ``.mdoc`` beside the file, or else is 1 pixel,
    with a warning. Bytes are unsigned if IMOD's flag says so.
    """

    name: ClassVar[str] = "mrc"
    extensions: ClassVar[tuple[str, ...]] = (".mrc", ".st", ".ali", ".rec", ".mrcs", ".map")
    is_folder: ClassVar[bool] = False
    can_stream: ClassVar[bool] = True
    holds_angles: ClassVar[bool] = False

    def matches(self, path: Path) -> bool:
        """Look for the mark ``MAP``, or, as old files lack it, for the right name and a header that makes sense."""
        if not path.is_file():
            return False
        raw = readable_bytes(path, SIZE)
        named = path.name.lower().endswith(self.extensions)
        return raw[208:211] == b"MAP" or (named and plausible(raw) is not None)

    def read(self, path: Path, **options: Any) -> Stack:
        """Open a file, after its header has been held against its size."""
        no_options(options, "MRC")
        header = parse(readable_bytes(path, SIZE), path, path.stat().st_size)
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
        data: LazyArray = RawArray(path, header.offset, header.shape, header.dtype)
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
        )

    def create(self, path: Path, header: Header) -> Sink:
        """Start a volume, or an image stack if there are angles. Bytes are widened, as readers disagree on their sign."""
        return _Sink(path, header)

    def reopen(self, path: Path, header: Header) -> Sink:
        """Go on with a file that ``create`` began."""
        return RawSink(path, SIZE, header.shape, _stored(path, header)[1], again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Read the values once for the header's statistics, section by section."""
        mode, dtype = _stored(path, header)
        data = RawArray(path, SIZE, header.shape, dtype)
        statistics = Statistics()
        for i in range(header.shape[0]):
            statistics.add(data[i])
        with path.open("r+b") as file:
            write_at(file.fileno(), build(header, mode, _known(statistics)), 0)
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
        write_at(self._fd, build(self._header, self._mode, _known(self._statistics)), 0)


def _stored(path: Path, header: Header) -> tuple[int, np.dtype[Any]]:
    """The mode in which a header's values are written, and how they lie in the file; raises FormatError."""
    dtype = np.dtype(header.dtype).newbyteorder("=")
    if dtype not in _MODES:
        raise FormatError(f"{path}: MRC cannot hold values of type {dtype}; use float32")
    mode = _MODES[dtype]
    return mode, np.dtype(DTYPES[mode]).newbyteorder("<")


def _known(s: Statistics) -> tuple[float, float, float, float]:
    return (s.minimum, s.maximum, s.mean, s.std) if s.count else _UNDETERMINED


def _mdoc_pixel_size(path: Path, warnings: list[str]) -> float | None:
    for beside in (path.with_name(f"{path.name}.mdoc"), path.with_suffix(".mdoc")):
        if beside.is_file():
            try:
                return mdoc_pixel_size(beside)
            except FormatError as error:
                warnings.append(f"{error}; left alone")
    return None
