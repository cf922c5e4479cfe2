"""NumPy's .npy and .npz. Nothing is ever unpickled.

Our ``.npy`` holds two arrays in sequence, which NumPy documents for ``numpy.save`` into an open file: the values, then a JSON
text as bytes with voxel size, unit and angles. ``numpy.load`` returns the values, and no second file can get lost. In a
``.npz`` the values are ``volume`` or ``projections``, with ``voxel_size``, ``unit``, ``origin``, ``angles`` (radians).
"""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from tomoprior.errors import FormatError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.checks import refuse_options
from tomoprior.formats.raw import RawSink, readable_bytes, write_at

from ..metadata import from_header, to_stack
from .header import lazy, npy_header, parse
from .npz import NPZSink, is_npz, read_npz

_METADATA_LIMIT = 64 << 20


class NPY:
    """NumPy files. Options of ``read``: ``dataset``, the name of an array in a ``.npz``."""

    name: ClassVar[str] = "npy"
    extensions: ClassVar[tuple[str, ...]] = (".npy", ".npz")
    is_folder: ClassVar[bool] = False
    holds_angles: ClassVar[bool] = True

    def matches(self, path: Path) -> bool:
        """Look for NumPy's magic string, or for a zip archive with a ``.npy`` in it."""
        return path.is_file() and (readable_bytes(path, 6) == b"\x93NUMPY" or is_npz(path))

    def read(self, path: Path, *, dataset: str | None = None, **options: Any) -> Stack:
        """Open a file as the module describes it."""
        refuse_options(options, "NumPy")
        if readable_bytes(path, 2) == b"PK":
            return read_npz(path, dataset)
        if dataset is not None:
            raise FormatError(f"{path}: one array without a name, so no dataset {dataset!r}")
        with path.open("rb") as file:
            shape, fortran, dtype = parse(file, path)
            data = lazy(path, file.tell(), shape, fortran, dtype)
            file.seek(file.tell() + data.nbytes)
            metadata, warnings = _metadata(file, path)
        fields = to_stack(metadata, data.shape[0], path)
        return Stack(data, **fields | {"warnings": (*warnings, *fields["warnings"])})

    def create(self, path: Path, header: Header) -> Sink:
        """Start a file; the values are written in place, those of a ``.npz`` to an unnamed file first."""
        if path.name.lower().endswith(".npz"):
            return NPZSink(path, header)
        start = npy_header(header.shape, np.dtype(header.dtype))
        path.write_bytes(start)
        return _Sink(path, len(start), header)

    def reopen(self, path: Path, header: Header) -> Sink:
        """Open the values of a ``.npy`` that ``create`` began."""
        if path.name.lower().endswith(".npz"):
            raise FormatError(f"{path}: a .npz is written in one piece; use .npy")
        return RawSink(path, len(npy_header(header.shape, np.dtype(header.dtype))), header.shape, header.dtype, again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Do nothing: the metadata behind the values were written when the file was created."""


class _Sink(RawSink):
    def __init__(self, path: Path, offset: int, header: Header) -> None:
        super().__init__(path, offset, header.shape, header.dtype)
        text = np.frombuffer(json.dumps(from_header(header)).encode(), np.uint8)
        self._tail = npy_header(text.shape, text.dtype) + text.tobytes()

    def _complete(self) -> None:
        write_at(self._fd, self._tail, self.offset + int(np.prod(self.shape, dtype=object)) * self.dtype.itemsize)


def _metadata(file: io.BufferedReader, path: Path) -> tuple[dict[str, Any], list[str]]:
    """Return the JSON behind the values, and lines for the user; other files end there or continue with other arrays."""
    if not file.peek(1):
        return {}, []
    unreadable = [f"{path}: the metadata behind the values are foreign or broken; read without voxel size"]
    try:
        shape, _, dtype = parse(file, path)
        if dtype != np.uint8 or len(shape) != 1 or shape[0] > _METADATA_LIMIT:
            return {}, unreadable
        values = json.loads(file.read(shape[0]))
    except (FormatError, ValueError, RecursionError):
        return {}, unreadable
    return (values, []) if isinstance(values, dict) else ({}, unreadable)
