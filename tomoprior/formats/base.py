"""What a file format is to the core: a reader that gives a ``Stack`` and a writer that gives a ``Sink``.

A format is a class registered under the entry-point group ``tomoprior.formats``. It converts at its border: whatever
a file calls its axes, units and angles, a ``Stack`` has ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray


@dataclass(frozen=True, eq=False)
class Stack:
    """What a file holds, before anyone says whether it is a tilt series or a volume.

    Attributes
    ----------
    data
        Anything with ``shape`` (three axes), ``dtype`` and NumPy indexing by whole numbers and slices, read lazily
        where the format can: ``[angle, y, u]`` of a tilt series, ``[z, y, x]`` of a volume.
    voxel_size, unit
        Edge of a pixel and its unit (one of ``tomoprior.geometry.UNITS``); 1.0 and ``"pixel"`` where the file says nothing.
    angles
        Tilt angles in radians, shape ``(n_angles,)``, where the file gives them.
    shifts
        ``(dy, dx)`` per tilt in pixels as in ``Geometry``, where the file gives them.
    origin
        Position of the first voxel ``(z, y, x)`` in ``unit``.
    counts
        True if the file says that these are raw counts or transmissions rather than line integrals.
    labels, attrs
        Free text lines and whatever else the file said, for the record and for ``tomoprior info``.
    warnings
        Lines that a user should see (a header that had to be mended, a side file left alone).
    """

    data: Any
    voxel_size: float = 1.0
    unit: str = "pixel"
    angles: NDArray[np.float64] | None = None
    shifts: NDArray[np.float64] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    counts: bool = False
    labels: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """What a writer has to know beside the values: the same meaning as in ``Stack``."""

    shape: tuple[int, int, int]
    dtype: DTypeLike = np.float32
    voxel_size: float = 1.0
    unit: str = "pixel"
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angles: NDArray[np.float64] | None = None
    labels: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    #: rows along y that are written together, by one process: a format that stores chunks keeps them within
    slab: int | None = None


@runtime_checkable
class Sink(Protocol):
    """An output being written: any region once, in any order, without the whole ever standing in memory."""

    def __setitem__(self, region: tuple[slice, slice, slice], values: NDArray[Any]) -> None:
        """Write ``values`` at ``[z0:z1, y0:y1, :]`` (steps of 1); OSError if the disk is full, InputError for a bad region."""

    def close(self) -> None:
        """Finish the file; it is complete on disk afterwards."""


class Format(Protocol):
    """A file format. ``tomoprior.testing.formats.check_format`` runs the conformance tests on one.

    A reader never raises what its library raises, never warns, and allocates nothing because a header says so: it compares
    header and file first. Readers use ``tomoprior.storage.lazy.LazyArray`` or ``tomoprior.formats.raw.RawArray``, writers
    ``tomoprior.formats.sinks.RegionSink`` or ``tomoprior.formats.raw.RawSink``.
    """

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]  #: with the dot, lower case, such as ``(".mrc", ".st")``
    is_folder: ClassVar[bool]  #: True if an output is a folder (Zarr, a folder of TIFFs)
    can_stream: ClassVar[bool]  #: True if a Sink accepts slabs along y without holding the whole
    holds_angles: ClassVar[bool]  #: True if a file holds tilt angles itself; else ``writing`` puts a .tlt beside it

    def matches(self, path: Path) -> bool:
        """True if the existing ``path`` looks like this format (by its first bytes rather than its name)."""

    def read(self, path: Path, **options: Any) -> Stack:
        """Open ``path``; raises FormatError, one line, for anything that is wrong with it."""

    def create(self, path: Path, header: Header) -> Sink:
        """Start a new file at ``path``, which does not exist; raises FormatError or OSError."""


@runtime_checkable
class Shared(Protocol):
    """A format of which one output can be written by several processes, or by one after another died: a ``Format`` besides.

    ``create(...).close()`` begins an output without values.
    """

    def reopen(self, path: Path, header: Header) -> Sink:
        """A sink on an output that was begun; regions may be written again, and ``close`` leaves them safe on the disk."""

    def complete(self, path: Path, header: Header) -> None:
        """Make of an output whose values are all there what ``create`` and one sink would have made; may be called again."""
