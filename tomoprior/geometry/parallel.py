"""The geometry of a single-axis parallel-beam tilt series; also the base class of other geometries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import GeometryError
from tomoprior.geometry.checks import check_angles, check_center, check_length, check_shifts, check_sizes, to_tilt_indices
from tomoprior.storage.digest import compute_digest
from tomoprior.units import UNITS


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
        theta = check_angles(angles)
        grid = check_sizes(shape, 3, "shape", "(nz, ny, nx)")
        pixels = check_sizes(grid[1:] if detector is None else detector, 2, "detector", "(ny, nu)")
        if pixels[0] != grid[1]:
            raise GeometryError(f"the detector has {pixels[0]} rows and the volume {grid[1]} slices: they must be equal")
        if unit not in UNITS:
            raise GeometryError(f"unit must be one of {', '.join(UNITS)}, got {unit!r}")
        values = {
            "angles": theta,
            "shape": grid,
            "detector": pixels,
            "center": check_center(center, *pixels),
            "shifts": check_shifts(shifts, len(theta)),
            "voxel_size": check_length(voxel_size, "voxel_size"),
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

    def detector_positions(self, x: ArrayLike, z: ArrayLike, y: int) -> NDArray[np.float64]:
        """Return the detector index onto which points of slice ``y`` project, shape ``(n_angles, *points)``.

        The index of a pixel's centre is whole.

        Parameters
        ----------
        x, z
            Positions in voxels from the centre of the grid; their shapes broadcast to ``points``.
        y
            Index of the slice, counted from 0.
        """
        x, z = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(z, np.float64))
        columns = (-1, *[1] * x.ndim)
        u = self._project(x, z, self.angles.reshape(columns))
        return np.asarray(u + (self.detector[1] / 2 - 0.5 - self.offsets(y)).reshape(columns))

    def _project(self, x: NDArray[np.float64], z: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``u`` of points in detector pixels."""
        return x * np.cos(theta) - z * np.sin(theta)

    def parallel_coordinates(self, positions: ArrayLike, y: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return ``(phi, u)`` of the parallel beam's rays that coincide with the rays to detector indices.

        Parameters
        ----------
        positions
            Detector indices, shape ``(n_angles,)`` or ``(n_angles, n)``.
        y
            Index of the slice, counted from 0.

        Returns
        -------
        tuple of numpy.ndarray
            ``phi`` in radians and ``u`` in voxels, each of the shape of ``positions``.
        """
        index = np.asarray(positions, np.float64)
        columns = (-1, *[1] * (index.ndim - 1))
        u = index - (self.detector[1] / 2 - 0.5 - self.offsets(y)).reshape(columns)
        return self._to_parallel(u, self.angles.reshape(columns))

    def _to_parallel(
        self, u: NDArray[np.float64], theta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return angle and ``u`` of the parallel beam for rays at ``u`` detector pixels."""
        return np.broadcast_to(theta, u.shape), u

    def slice_groups(self) -> list[NDArray[np.intp]]:
        """Return the indices of the slices that share a centre, and so a system matrix: a list of arrays, usually one."""
        _, inverse = np.unique(self.center, return_inverse=True)
        return [np.flatnonzero(inverse == group) for group in range(inverse.max() + 1)]

    @property
    def couples_slices(self) -> bool:
        """True if a tilt is shifted along y, so that a slice cannot be reconstructed alone."""
        return self.shifts is not None and bool(np.any(self.shifts[:, 0]))

    def select(self, views: ArrayLike) -> Geometry:
        """Return the same geometry with some tilts only.

        Parameters
        ----------
        views
            Indices, counted from 0, in any order, or a boolean mask of shape ``(n_angles,)``.

        Raises
        ------
        GeometryError
            If the selection is empty or does not fit.
        """
        index = to_tilt_indices(views, self.n_angles)
        return replace(self, angles=self.angles[index], shifts=None if self.shifts is None else self.shifts[index])

    def rows(self, start: int, stop: int) -> Geometry:
        """Return the geometry of the slices ``start <= y < stop``.

        Raises
        ------
        GeometryError
            If the range is empty or exceeds the grid.
        """
        if not 0 <= start < stop <= self.shape[1]:
            raise GeometryError(f"slices {start}..{stop} do not lie within 0..{self.shape[1]}")
        nz, _, nx = self.shape
        size = stop - start
        return replace(self, shape=(nz, size, nx), detector=(size, self.detector[1]), center=self.center[start:stop])

    def binned(self, factor: int) -> Geometry:
        """Return detector and grid binned by ``factor`` on all axes, without the rows and columns beyond a multiple of it.

        Raises
        ------
        GeometryError
            If ``factor`` is not a whole number from 1, or is larger than the detector.
        """
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
        """Return the geometry that ``to_dict`` described, of the subclass that has these values.

        Raises
        ------
        GeometryError
            If values are missing, unknown or wrong.
        """
        kinds = (cls, *cls.__subclasses__())
        kind = next((k for k in kinds if set(values) <= {f.name for f in fields(k)}), cls)
        try:
            return kind(**values)
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
            f"{type(self).__name__}({self.n_angles} tilts from {low:.4g} to {high:.4g} degrees, volume {self.shape}, "
            f"detector {self.detector}, voxel {self.voxel_size:.6g} {self.unit}{self._details()})"
        )

    def _details(self) -> str:
        """Return what a subclass adds to the representation."""
        return ""
