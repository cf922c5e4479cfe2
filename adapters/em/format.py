"""DigitalMicrograph (.dm3 .dm4), TIA (.ser) and Velox (.emd), read by RosettaSciIO, which is the extra ``em``."""

from __future__ import annotations

import importlib
import math
import warnings as python_warnings
from pathlib import Path
from threading import Lock
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import FormatError, InputError, MissingDependencyError, TomopriorError
from tomoprior.formats import Header, Sink, Stack
from tomoprior.formats.angles import usable_angles
from tomoprior.formats.checks import check_dtype, check_room, check_shape, refuse_options
from tomoprior.formats.raw import readable_bytes
from tomoprior.storage.lazy import Box, LazyArray, TransposedArray, one_line, to_numpy

from ..hdf5.axes import Axis, layout_of_axes
from .signatures import check_ser, is_dm, is_ser, is_velox
from .velox import stage_tilts

#: Module of RosettaSciIO and arguments of its reader, by our name of the kind.
_READERS: dict[str, tuple[str, dict[str, Any]]] = {
    "dm": ("rsciio.digitalmicrograph", {"lazy": True, "optimize": False}),
    "ser": ("rsciio.tia", {}),
    "velox": ("rsciio.emd", {"lazy": True, "select_type": "images"}),
}


class EM:
    """Files of Gatan's DigitalMicrograph and of FEI's TIA and Velox; needs the package ``rosettasciio``.

    Option of ``read``: ``dataset``, the title of a stack in a file that holds several. Tilt angles are those of an axis in
    degrees or radians, and in a Velox file those of the stage. A ``.ser`` file is read into memory when it is opened.
    """

    name: ClassVar[str] = "em"
    extensions: ClassVar[tuple[str, ...]] = (".dm3", ".dm4", ".ser", ".emd")
    is_folder: ClassVar[bool] = False
    holds_angles: ClassVar[bool] = True
    is_read_only: ClassVar[bool] = True

    def matches(self, path: Path) -> bool:
        """Look for the first bytes of DigitalMicrograph and TIA, and for Velox's groups in an HDF5 file called ``.emd``."""
        return path.is_file() and _kind(path) is not None

    def read(self, path: Path, *, dataset: str | None = None, **options: Any) -> Stack:
        """Open a file; the images of DigitalMicrograph and Velox are read when they are indexed."""
        refuse_options(options, "microscope")
        signals, kind = load_signals(path), _kind(path)
        place = _choose(path, signals, dataset)
        signal = signals[place]
        shape = check_shape(signal["data"].shape, path)
        # an axis without a place stands at its own
        axes = sorted(enumerate(signal["axes"]), key=lambda place: int(place[1].get("index_in_array", place[0])))
        layout = layout_of_axes(str(path), [_axis(axis, n) for (_, axis), n in zip(axes, shape, strict=True)], path)
        dtype = check_dtype(signal["data"].dtype, path)
        if kind != "velox":  # HDF5 may be compressed
            check_room(path, math.prod(shape) * dtype.itemsize, path.stat().st_size)
        data: LazyArray = _SignalArray(path, place, shape, dtype)
        if layout.order is not None:
            data = TransposedArray(data, layout.order)
        lists = [(a.values, a.unit, False) for a in layout.angles]
        stage = stage_tilts(path, place, shape[0]) if kind == "velox" else None
        if stage is not None:
            lists.append((stage, "radian", True))
        fields: dict[str, Any] = {}
        lines = list(layout.warnings)
        for values, unit, nominal in lists:
            angles, rejected, notes = usable_angles(values, data.shape[0], str(path), unit=unit)
            fields = {"angles": angles, "rejected_angles": rejected, "nominal_angles": nominal}
            lines += notes
            if angles is not None:
                break
        size = 1.0 if layout.voxel_size is None else layout.voxel_size
        return Stack(data, voxel_size=size, unit=layout.unit, attrs={"title": _title(signal)}, warnings=tuple(lines), **fields)

    def create(self, path: Path, header: Header) -> Sink:
        """Raise FormatError: these files are only read."""
        raise FormatError(f"{path}: files of microscopes are only read; write .mrc, .h5, .tif, .zarr or .npy")


class _SignalArray(LazyArray):
    """One signal of a file. The file is opened at the first read, in each process again."""

    def __init__(self, path: Path, place: int, shape: tuple[int, int, int], dtype: np.dtype[Any]) -> None:
        super().__init__(path, shape, dtype)
        self._place = place
        self._data: Any = None
        self._lock = Lock()

    def _read(self, box: Box) -> NDArray[Any]:
        with self._lock:
            if self._data is None:
                self._data = load_signals(self.path)[self._place]["data"]
            return to_numpy(self._data[box])

    def __getstate__(self) -> dict[str, Any]:
        return {k: v for k, v in self.__dict__.items() if k not in ("_data", "_lock")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__ |= state | {"_data": None, "_lock": Lock()}


def load_signals(path: Path) -> list[dict[str, Any]]:
    """Return the signals of a file as RosettaSciIO reads them: dictionaries with ``data``, ``axes`` and ``metadata``.

    Raises
    ------
    MissingDependencyError
        If the package is not installed.
    FormatError
        If it cannot read the file.
    """
    kind = _kind(path)
    if kind is None:
        raise FormatError(f"{path}: not a file of DigitalMicrograph, TIA or Velox")
    module, arguments = _READERS[kind]
    try:
        reader = importlib.import_module(module).file_reader
    except ImportError as error:
        raise MissingDependencyError(
            f"{path}: this file needs the package rosettasciio ({error}); install it with pip install 'tomoprior[em]'"
        ) from error
    if kind == "ser":
        check_ser(path)
    try:
        with python_warnings.catch_warnings():
            python_warnings.simplefilter("ignore")
            return list(reader(str(path), **arguments))
    except TomopriorError:
        raise
    except ModuleNotFoundError as error:  # of a package that only some of these files need, as sparse for spectra
        raise MissingDependencyError(f"{path}: {module} needs another package for this file ({one_line(error)})") from error
    except Exception as error:  # its readers raise errors of any class for a broken file
        raise FormatError(f"{path}: cannot be read by {module} ({type(error).__name__}: {one_line(error)})") from error


def _kind(path: Path) -> str | None:
    head = readable_bytes(path, 16)
    if is_dm(head):
        return "dm"
    if is_ser(head):
        return "ser"
    return "velox" if is_velox(path, head) else None


def _choose(path: Path, signals: list[dict[str, Any]], title: str | None) -> int:
    """Return the place of the signal of this title, or of the only one with three axes."""
    stacks = [i for i, signal in enumerate(signals) if len(np.shape(signal["data"])) == 3]
    plain = [_title(signals[i]) for i in stacks]
    # two of the same title are counted: HAADF 1, HAADF 2
    titles = [t if plain.count(t) == 1 else f"{t} {plain[: i + 1].count(t)}" for i, t in enumerate(plain)]
    if title is not None:
        if titles.count(title) != 1:
            raise InputError(f"{path}: no stack with the title {title!r} in it; there are {', '.join(titles) or 'none'}")
        return stacks[titles.index(title)]
    if len(stacks) == 1:
        return stacks[0]
    if not stacks:
        shapes = ", ".join(str(tuple(np.shape(signal["data"]))) for signal in signals[:8])
        raise FormatError(f"{path}: no stack of images in it (shapes: {shapes or 'none'})")
    raise FormatError(f"{path}: which stack is meant? Say dataset=TITLE (--dataset TITLE); there are {', '.join(titles)}")


def _title(signal: dict[str, Any]) -> str:
    general = signal.get("metadata", {}).get("General", {})
    return str(general.get("title") or "untitled")


def _axis(axis: dict[str, Any], n: int) -> Axis:
    if "axis" in axis:  # coordinates without a constant step
        return Axis(str(axis.get("name") or ""), str(axis.get("units") or ""), np.asarray(axis["axis"], np.float64))
    start, step = np.float64(axis.get("offset", 0.0)), np.float64(axis.get("scale", 1.0))
    with np.errstate(invalid="ignore", over="ignore"):  # a broken file may hold infinity
        values: NDArray[np.float64] = start + step * np.arange(n, dtype=np.float64)
    return Axis(str(axis.get("name") or ""), str(axis.get("units") or ""), values)
