"""The interface of a file format: a reader that returns a ``Stack`` and a writer that returns a ``Sink``.

A format is a class registered under the entry-point group ``tomoprior.formats``. It converts at its border: a ``Stack`` has
our names of axes, units and angles, not those of the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np
from numpy.typing import DTypeLike, NDArray

from tomoprior.formats.angles import RejectedAngles


@dataclass(frozen=True, eq=False)
class Stack:
    """The content of a file, which may be a tilt series or a volume.

    Attributes
    ----------
    data
        Anything with ``shape`` (three axes), ``dtype`` and NumPy indexing by whole numbers and slices, read lazily
        where the format can: ``[angle, y, u]`` of a tilt series, ``[z, y, x]`` of a volume.
    voxel_size, unit
        Edge of a pixel and its unit (one of ``tomoprior.geometry.UNITS``); 1.0 and ``"pixel"`` where the file says nothing.
    angles
        Tilt angles in radians, shape ``(n_angles,)``, where the file gives them.
    nominal_angles
        True if these are the angles of the microscope's stage, which a side file with refined angles overrules.
    assumed_angle_unit
        ``"degree"`` or ``"radian"``: the unit in which the file's angles were read although the file states none.
    rejected_angles
        Why angles that the file holds cannot be used.
    shifts
        ``(dy, dx)`` per tilt in pixels as in ``Geometry``, where the file gives them.
    origin
        Position of the first voxel ``(z, y, x)`` in ``unit``.
    counts
        True if the file says that these are raw counts or transmissions rather than line integrals.
    labels, attrs
        Free text lines and other values of the file, for the record and for ``tomoprior info``.
    warnings
        Lines that a user should see (a contradiction in the header, a side file that was not used).
    """

    data: Any
    voxel_size: float = 1.0
    unit: str = "pixel"
    angles: NDArray[np.float64] | None = None
    nominal_angles: bool = False
    assumed_angle_unit: str | None = None
    rejected_angles: RejectedAngles | None = None
    shifts: NDArray[np.float64] | None = None
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    counts: bool = False
    labels: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Header:
    """Everything that a writer needs besides the values; attributes mean the same as in ``Stack``."""

    shape: tuple[int, int, int]
    dtype: DTypeLike = np.float32
    voxel_size: float = 1.0
    unit: str = "pixel"
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    angles: NDArray[np.float64] | None = None
    labels: tuple[str, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    #: name of the output without its extension, while a sink writes to a temporary file; empty: that of the file itself
    name: str = ""
    #: rows along y that one process writes together: no chunk of the file crosses the border of such a slab
    slab: int | None = None


@runtime_checkable
class Sink(Protocol):
    """An open output. Regions are written once each, in any order; the whole array is never in memory."""

    def __setitem__(self, region: tuple[slice, slice, slice], values: NDArray[Any]) -> None:
        """Write ``values`` at ``[z0:z1, y0:y1, :]``, with steps of 1.

        Raises
        ------
        OSError
            If the disk is full.
        InputError
            If the region does not fit.
        """

    def close(self) -> None:
        """Finish the file; it is complete on disk afterwards."""


class Format(Protocol):
    """A file format. ``tomoprior.testing.formats.check_format`` runs the conformance tests on one.

    A reader raises only ``tomoprior.errors``, never warns, and compares the header with the size of the file before it
    allocates memory. Readers use ``tomoprior.storage.lazy.LazyArray`` or ``tomoprior.formats.raw.RawArray``, writers
    ``tomoprior.formats.sinks.RegionSink`` or ``tomoprior.formats.raw.RawSink``.
    """

    name: ClassVar[str]
    extensions: ClassVar[tuple[str, ...]]  #: with the dot, lower case, such as ``(".mrc", ".st")``
    is_folder: ClassVar[bool]  #: True if an output is a folder (Zarr, a folder of TIFFs)
    holds_angles: ClassVar[bool]  #: True if a file holds tilt angles itself; else ``writing`` puts a .tlt beside it

    def matches(self, path: Path) -> bool:
        """Return whether the existing ``path`` has this format, by its first bytes rather than its name."""

    def read(self, path: Path, **options: Any) -> Stack:
        """Open ``path``.

        Parameters
        ----------
        path
            An existing file or folder.
        options
            Choices of the user, such as ``dataset``.

        Returns
        -------
        Stack
            Its values are read when they are indexed, where the format can do that.

        Raises
        ------
        FormatError
            One line, for any defect of the file.
        InputError
            For an option that the format does not have.
        """

    def create(self, path: Path, header: Header) -> Sink:
        """Start a new file at ``path``, which does not exist.

        Parameters
        ----------
        path
            The output.
        header
            Shape, type, voxel size and everything else but the values.

        Returns
        -------
        Sink
            Takes the values region by region.

        Raises
        ------
        FormatError
            If the format cannot hold such an array.
        OSError
            If the file cannot be written.
        """


@runtime_checkable
class Shared(Protocol):
    """A ``Format`` whose output several processes can write, at the same time or one after another.

    ``create(...).close()`` begins an output without values.
    """

    def reopen(self, path: Path, header: Header) -> Sink:
        """Return a sink on an existing output; regions may be written again, and after ``close`` they are safe on the disk."""

    def complete(self, path: Path, header: Header) -> None:
        """Complete an output that has all its values, as a single sink would leave it; it may be called again."""
