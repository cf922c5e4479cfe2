"""Axes, signs, centre and grid of single-axis parallel-beam tomography: the only file that states a convention.

Conventions
-----------
- A volume is indexed ``[z, y, x]``; projections are indexed ``[angle, y, u]``. ``y`` is the rotation (tilt) axis, so
  slice ``y`` of the volume projects onto row ``y`` of the detector, and nothing couples one slice to the next unless
  a tilt is shifted along y.
- ``X = x - (nx - 1) / 2`` and ``Z = z - (nz - 1) / 2`` are in voxels from the centre of the grid, which lies on the
  rotation axis. At angle ``theta`` the point (X, Z) projects to ``u = X cos(theta) - Z sin(theta)``.
- Detector sample ``d`` (counted from 0) of slice ``y`` in tilt ``i`` lies at ``u = d + 0.5 - center[y] - shifts[i, 1]``.
  ``center`` is TomoPy's: the position of the rotation axis in pixels from the detector's left edge, which is the
  index of the axis plus 0.5. The middle of a detector of ``nu`` pixels is ``nu / 2``.
- ``shifts[i] = (dy, dx)`` in detector pixels is how far the image of tilt ``i`` lies from its true position: a feature
  whose true position is row r, column d appears at row ``r + dy``, column ``d + dx``.
- Angles are radians. A projection is a line integral in voxel units: values of a volume are per voxel.
- ``volume[z, y, x]`` is TomoPy's ``recon[y, z, x]``: a transpose without a flip.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import GeometryError
from tomoprior.storage.arrays import detach
from tomoprior.storage.digest import compute_digest
from tomoprior.units import UNITS

#: Larger angles are taken for degrees: no series turns a specimen more than twice around.
MAX_ANGLE = 4 * math.pi


@dataclass(frozen=True, eq=False, init=False, repr=False)
class Geometry:
    """Angles, volume grid and detector of a single-axis parallel-beam tilt series. Immutable.

    Parameters
    ----------
    angles
        Tilt angles in radians, shape ``(n_angles,)``, in any order.
    shape
        Volume grid ``(nz, ny, nx)`` in voxels; ``nz`` is the thickness.
    detector
        Detector ``(ny, nu)`` in pixels; by default ``(ny, nx)`` of the volume. Its rows are the volume's slices.
    center
        Rotation axis in pixels from the detector's left edge (TomoPy's convention: index of the axis + 0.5), one
        number or one per slice, shape ``(ny,)``; by default ``nu / 2``.
    shifts
        ``(dy, dx)`` of each tilt in detector pixels, shape ``(n_angles, 2)``; by default none.
    voxel_size
        Edge of a voxel, and of a detector pixel, in ``unit``.
    unit
        One of ``tomoprior.units.UNITS``; ``pixel`` if the size is unknown.

    Raises
    ------
    GeometryError
        For angles that look like degrees, sizes that do not fit together, or values that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> angles = np.deg2rad(np.linspace(-60, 60, 61))
    >>> geometry = tomoprior.Geometry(angles, shape=(40, 64, 128), voxel_size=1.2, unit="nanometer")
    >>> geometry
    Geometry(61 tilts from -60 to 60 degrees, volume (40, 64, 128), detector (64, 128), voxel 1.2 nanometer)
    >>> geometry.select(np.abs(angles) < 0.5).n_angles
    29
    >>> geometry.binned(2).voxel_size
    2.4
    """

    angles: NDArray[np.float64]
    shape: tuple[int, int, int]
    detector: tuple[int, int]
    center: NDArray[np.float64]
    shifts: NDArray[np.float64] | None
    voxel_size: float
    unit: str

    def __init__(
        self,
        angles: ArrayLike,
        shape: Iterable[int],
        detector: Iterable[int] | None = None,
        center: ArrayLike | None = None,
        shifts: ArrayLike | None = None,
        voxel_size: float = 1.0,
        unit: str = "pixel",
    ) -> None:
        theta = _check_angles(angles)
        grid = _check_sizes(shape, 3, "shape", "(nz, ny, nx)")
        pixels = _check_sizes(grid[1:] if detector is None else detector, 2, "detector", "(ny, nu)")
        if pixels[0] != grid[1]:
            raise GeometryError(f"the detector has {pixels[0]} rows and the volume {grid[1]} slices: they must be equal")
        if not (isinstance(voxel_size, numbers.Real) and 0 < float(voxel_size) < math.inf):
            raise GeometryError(f"voxel_size must be a positive number, got {voxel_size!r}")
        if unit not in UNITS:
            raise GeometryError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        values = {
            "angles": theta,
            "shape": grid,
            "detector": pixels,
            "center": _check_center(center, *pixels),
            "shifts": _check_shifts(shifts, len(theta)),
            "voxel_size": float(voxel_size),
            "unit": unit,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the class is frozen

    @property
    def n_angles(self) -> int:
        """Number of tilts."""
        return len(self.angles)

    @property
    def range_shape(self) -> tuple[int, int, int]:
        """Shape of the projections, ``(n_angles, ny, nu)``."""
        return (self.n_angles, *self.detector)

    @property
    def domain_shape(self) -> tuple[int, int, int]:
        """Shape of the volume, ``(nz, ny, nx)``."""
        return self.shape

    def offsets(self, y: int) -> NDArray[np.float64]:
        """Return ``u`` of the detector's centre in slice ``y``, one per tilt, shape ``(n_angles,)``, in pixels."""
        dx = 0.0 if self.shifts is None else self.shifts[:, 1]
        return np.asarray(self.detector[1] / 2 - self.center[y] - dx + np.zeros(self.n_angles))

    def slice_groups(self) -> list[NDArray[np.intp]]:
        """Return the indices of the slices that share a centre, and so a system matrix: a list of arrays, usually one."""
        _, inverse = np.unique(self.center, return_inverse=True)
        return [np.flatnonzero(inverse == group) for group in range(inverse.max() + 1)]

    @property
    def couples_slices(self) -> bool:
        """True if a tilt is shifted along y, so that a slice cannot be reconstructed alone."""
        return self.shifts is not None and bool(np.any(self.shifts[:, 0]))

    def select(self, views: ArrayLike) -> Geometry:
        """Return the same geometry with some tilts only: indices or a boolean mask of shape ``(n_angles,)``."""
        index = _to_tilt_indices(views, self.n_angles)
        return replace(self, angles=self.angles[index], shifts=None if self.shifts is None else self.shifts[index])

    def rows(self, start: int, stop: int) -> Geometry:
        """Return the geometry of the slices ``start <= y < stop``."""
        if not 0 <= start < stop <= self.shape[1]:
            raise GeometryError(f"slices {start}..{stop} do not lie within 0..{self.shape[1]}")
        nz, _, nx = self.shape
        size = stop - start
        return replace(self, shape=(nz, size, nx), detector=(size, self.detector[1]), center=self.center[start:stop])

    def binned(self, factor: int) -> Geometry:
        """Return detector and grid binned by ``factor`` on all axes, without the rows and columns beyond a multiple of it."""
        if not isinstance(factor, (int, np.integer)) or factor < 1:
            raise GeometryError(f"the binning must be a whole number from 1, got {factor!r}")
        if factor == 1:
            return self
        nz, _, nx = self.shape
        rows, columns = self.detector[0] // factor, self.detector[1] // factor
        if rows < 1 or columns < 1:
            raise GeometryError(f"a detector of {self.detector} pixels cannot be binned by {factor}")
        center = self.center[: rows * factor].reshape(rows, factor).mean(1) / factor
        return replace(
            self,
            shape=(max(1, round(nz / factor)), rows, max(1, nx // factor)),
            detector=(rows, columns),
            center=center,
            shifts=None if self.shifts is None else self.shifts / factor,
            voxel_size=self.voxel_size * factor,
        )

    def padded(self, pad: int) -> Geometry:
        """Return a grid wider by ``pad`` voxels at each end of x, with the same detector."""
        nz, ny, nx = self.shape
        return replace(self, shape=(nz, ny, nx + 2 * pad))

    def with_thickness(self, nz: int) -> Geometry:
        """Return the same rays on a grid of ``nz`` voxels along z."""
        return replace(self, shape=(nz, *self.shape[1:]))

    def flipped_hand(self) -> Geometry:
        """Return the geometry with all angles negated: the volume is mirrored in z."""
        return replace(self, angles=-self.angles)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, for JSON; ``from_dict`` is the inverse."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Geometry:
        """Return the geometry that ``to_dict`` described; raises GeometryError."""
        try:
            return cls(**values)
        except TypeError as error:  # names that are missing or unknown
            raise GeometryError(f"these are not the values of a geometry ({error})") from None

    def digest(self) -> str:
        """Return the SHA-256 digest of all values of the geometry, in hexadecimal."""
        return compute_digest(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return self.digest() == other.digest() if isinstance(other, Geometry) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.digest())

    def describe(self) -> dict[str, str]:
        """Return tilts, grid, detector and voxel size as short texts by name."""
        low, high = np.rad2deg(self.angles.min()), np.rad2deg(self.angles.max())
        return {
            "tilts": f"{self.n_angles} from {low:.4g} to {high:.4g} degrees",
            "volume": str(self.shape),
            "detector": str(self.detector),
            "voxel": f"{self.voxel_size:.6g} {self.unit}",
        }

    def __repr__(self) -> str:
        low, high = np.rad2deg(self.angles.min()), np.rad2deg(self.angles.max())
        return (
            f"Geometry({self.n_angles} tilts from {low:.4g} to {high:.4g} degrees, volume {self.shape}, "
            f"detector {self.detector}, voxel {self.voxel_size:.6g} {self.unit})"
        )


def _to_tilt_indices(views: ArrayLike, n: int) -> NDArray[np.intp]:
    array = np.asarray(views)
    if array.dtype == bool:
        if array.shape != (n,):
            raise GeometryError(f"a mask over tilts needs shape ({n},), got {array.shape}")
        array = np.flatnonzero(array)
    if array.size == 0:
        raise GeometryError("the selection of tilts is empty")
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise GeometryError("tilts are selected by a list of whole numbers or by a mask")
    if array.min() < 0 or array.max() >= n:
        raise GeometryError(
            f"tilt {int(array.max() if array.max() >= n else array.min())} does not exist: there are {n}, counted from 0"
        )
    return array.astype(np.intp)


def _read_only(array: NDArray[np.float64]) -> NDArray[np.float64]:
    array = np.array(array, dtype=np.float64)
    array.flags.writeable = False
    return array


def _to_numbers(values: Any, name: str) -> NDArray[np.float64]:
    if np.ma.is_masked(values):
        raise GeometryError(f"{name} must not be masked; leave the tilts out (TiltSeries.select)")
    try:
        array = np.asarray(detach(values), dtype=np.float64)
    except (TypeError, ValueError):
        raise GeometryError(f"{name} must be numbers, got {type(values).__name__}") from None
    if not np.all(np.isfinite(array)):
        raise GeometryError(f"{name} must be finite; {int(np.sum(~np.isfinite(array)))} value(s) are not")
    return array


def _check_angles(values: Any) -> NDArray[np.float64]:
    array = _to_numbers(values, "angles")
    if array.ndim != 1 or array.size == 0:
        raise GeometryError(f"angles need shape (n_angles,) with at least one, got {array.shape}")
    worst = float(np.abs(array).max())
    if worst > MAX_ANGLE:
        raise GeometryError(f"an angle of {worst:.6g} radians is beyond 4 pi: are these degrees? Use numpy.deg2rad(angles)")
    return _read_only(array)


def _check_sizes(values: Iterable[int], n: int, name: str, form: str) -> Any:
    try:
        sizes = tuple(values)
    except TypeError:
        sizes = ()
    if len(sizes) != n or not all(isinstance(s, (int, np.integer)) and not isinstance(s, bool) for s in sizes):
        raise GeometryError(f"{name} must be {form} in whole numbers, got {values!r}")
    if min(sizes) < 1:
        raise GeometryError(f"{name} must be at least 1 along every axis, got {sizes}")
    return tuple(int(s) for s in sizes)


def _check_center(values: Any, ny: int, nu: int) -> NDArray[np.float64]:
    array = np.full(ny, nu / 2) if values is None else _to_numbers(values, "center")
    if array.shape not in ((), (1,), (ny,)):
        raise GeometryError(f"center must be one number or one per slice ({ny}), got shape {array.shape}")
    array = np.broadcast_to(array, (ny,))
    if np.any(np.abs(array - nu / 2) > nu):
        raise GeometryError(
            f"a center of {array[np.argmax(np.abs(array - nu / 2))]:.6g} lies far outside a detector of {nu} pixels"
        )
    return _read_only(array)


def _check_shifts(values: Any, n: int) -> NDArray[np.float64] | None:
    if values is None:
        return None
    array = _to_numbers(values, "shifts")
    if array.shape != (n, 2):
        raise GeometryError(f"shifts must be (dy, dx) for each of {n} tilts, got shape {array.shape}")
    return _read_only(array) if np.any(array) else None
