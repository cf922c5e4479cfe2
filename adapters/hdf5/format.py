"""HDF5: Data Exchange and NXtomo, the files of synchrotron tomography, and any other dataset by its name."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import h5py
import numpy as np

from tomoprior.errors import FormatError, TomopriorError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.checks import refuse_options
from tomoprior.formats.raw import RawSink, readable_bytes
from tomoprior.storage.lazy import one_line

from ..metadata import from_header
from .stack import LINE_INTEGRALS, Choice, read_stack
from .trial import try_in_a_process

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


class HDF5:
    """HDF5 files of synchrotrons (Data Exchange, NXtomo, FXI, CIL) and electron microscopes (EMD, HyperSpy).

    Options of ``read``: ``dataset``, the path of an array in the file, instead of the one that the layout names;
    ``angles_dataset``, ``flats``, ``darks`` and ``image_key``, the paths of arrays that belong to it; ``normalize``, to
    subtract the dark field and divide by the flat field, which is True, False or None (if the file has flat fields).
    """

    name: ClassVar[str] = "hdf5"
    extensions: ClassVar[tuple[str, ...]] = (".h5", ".hdf5", ".hdf", ".nx", ".nxs")
    is_folder: ClassVar[bool] = False
    holds_angles: ClassVar[bool] = True

    def matches(self, path: Path) -> bool:
        """Look for HDF5's signature, at the start or behind a user block of 512 bytes or more."""
        return path.is_file() and any(readable_bytes(path, 8, at) == _SIGNATURE for at in (0, 512, 1024, 2048))

    def read(
        self,
        path: Path,
        *,
        dataset: str | None = None,
        angles_dataset: str | None = None,
        flats: str | None = None,
        darks: str | None = None,
        image_key: str | None = None,
        normalize: bool | None = None,
        **options: Any,
    ) -> Stack:
        """Open a file; counts are normalised region by region when they are read."""
        refuse_options(options, "HDF5")
        readable_bytes(path, 1)
        try:
            failure = try_in_a_process(path)
        except OSError as error:
            raise FormatError(f"{path}: not read, no process can try its metadata ({one_line(error)})") from error
        if failure is not None:
            raise FormatError(f"{path}: damaged, {failure} on it")
        try:
            with h5py.File(path, "r") as file:
                return read_stack(file, path, Choice(dataset, angles_dataset, flats, darks, image_key, normalize))
        except TomopriorError:
            raise
        except Exception as error:  # h5py raises OSError, KeyError, RuntimeError and more for a broken file
            raise FormatError(f"{path}: not a readable HDF5 file ({one_line(error)})") from error

    def create(self, path: Path, header: Header) -> Sink:
        """Start a Data Exchange file. The library writes the structure; the sink writes the values at their place in it."""
        dtype = np.dtype(header.dtype).newbyteorder("<")
        with h5py.File(path, "w") as file:
            group = file.create_group("exchange")
            properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            properties.set_obj_track_times(False)  # the same volume gives the same file at any time
            properties.set_layout(h5py.h5d.CONTIGUOUS)
            properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)  # the place must be known before a value is written
            properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
            space = h5py.h5s.create_simple(tuple(header.shape))
            kind = h5py.h5t.py_create(dtype, logical=True)
            data = h5py.Dataset(h5py.h5d.create(group.id, b"data", kind, space, dcpl=properties))
            values = from_header(header)
            angles, _ = values.pop("angles", None), values.pop("angle_unit", None)
            data.attrs["axes"] = ":".join("theta" if axis == "angle" else axis for axis in values.pop("axes"))
            data.attrs["values"] = LINE_INTEGRALS
            for key, value in values.items():
                data.attrs[key] = value if isinstance(value, (int, float, str, bool)) or _has_hdf5_type(value) else str(value)
            if angles is not None:
                theta = group.create_dataset("theta", data=np.rad2deg(angles))
                theta.attrs["units"] = "degrees"
            offset = data.id.get_offset()
        if offset is None:
            raise FormatError(f"{path}: the HDF5 library reserved no place for the values in the file")
        return RawSink(path, offset, header.shape, dtype)

    def reopen(self, path: Path, header: Header) -> Sink:
        """Open the values of a file that ``create`` began."""
        with h5py.File(path, "r") as file:
            offset = file["exchange/data"].id.get_offset()
        return RawSink(path, int(offset), header.shape, np.dtype(header.dtype).newbyteorder("<"), again=True)

    def complete(self, path: Path, header: Header) -> None:
        """Do nothing: the file is complete."""


def _has_hdf5_type(value: Any) -> bool:
    """Return whether a value is a list of texts or of numbers, for which HDF5 has a type."""
    return isinstance(value, list) and (
        all(isinstance(v, str) for v in value) or all(isinstance(v, (int, float)) for v in value)
    )
