"""The geometry of a tilt series in a fan beam with a flat detector."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import GeometryError
from tomoprior.geometry.checks import check_length
from tomoprior.geometry.parallel import Geometry


@dataclass(frozen=True, eq=False, init=False, repr=False)
class FanGeometry(Geometry):
    """Angles, volume grid, source and flat detector of a single-axis fan-beam tilt series. Immutable.

    A data set recorded with the other sense of rotation needs negated angles, as ``flipped_hand`` makes them. Unlike in a
    parallel beam, the other hand does not fit the data with a mirrored volume.

    Parameters
    ----------
    angles, shape, detector, center, shifts, voxel_size, unit
        As in ``Geometry``. ``center`` and ``shifts`` are in detector pixels; ``voxel_size`` is the edge of a voxel only.
    source_distance
        Distance from the source to the rotation axis, in voxels. The whole grid must lie between source and detector.
    detector_distance
        Distance from the rotation axis to the detector, in voxels.
    pixel_size
        Width of a detector pixel in voxels; by default the magnification, which makes a pixel one voxel wide at the axis.

    Raises
    ------
    GeometryError
        As ``Geometry``, and for distances that are not positive or a source within the grid.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> angles = np.deg2rad(np.arange(0, 60.5, 0.5))
    >>> geometry = tomoprior.FanGeometry(angles, (64, 4, 64), (4, 96), source_distance=200, detector_distance=70)
    >>> geometry
    FanGeometry(121 tilts from 0 to 60 degrees, volume (64, 4, 64), detector (4, 96), voxel 1 pixel, source 200, pixels of 1.35)
    >>> geometry.magnification
    1.35
    >>> geometry.binned(2).source_distance
    100.0
    """

    source_distance: float
    detector_distance: float
    pixel_size: float

    def __init__(
        self,
        angles: ArrayLike,
        shape: Iterable[int],
        detector: Iterable[int] | None = None,
        center: ArrayLike | None = None,
        shifts: ArrayLike | None = None,
        voxel_size: float = 1.0,
        unit: str = "pixel",
        *,
        source_distance: float,
        detector_distance: float,
        pixel_size: float | None = None,
    ) -> None:
        super().__init__(angles, shape, detector, center, shifts, voxel_size, unit)
        values = {
            "source_distance": check_length(source_distance, "source_distance"),
            "detector_distance": check_length(detector_distance, "detector_distance"),
        }
        magnification = 1 + values["detector_distance"] / values["source_distance"]
        values["pixel_size"] = magnification if pixel_size is None else check_length(pixel_size, "pixel_size")
        for name, value in values.items():
            object.__setattr__(self, name, value)  # the class is frozen
        self._check_source()

    @property
    def magnification(self) -> float:
        """Ratio of a length in the detector to the same length at the rotation axis."""
        return 1 + self.detector_distance / self.source_distance

    def binned(self, factor: int) -> FanGeometry:
        """Return detector and grid binned by ``factor``; the distances count in the larger voxels.

        Parameters
        ----------
        factor
            Pixels, and voxels, that become one along each axis.

        Returns
        -------
        FanGeometry
            Distances, centre and shifts are divided by ``factor``, and ``voxel_size`` is multiplied by it.

        Raises
        ------
        GeometryError
            If ``factor`` is not a whole number from 1, or is larger than the detector.
        """
        binned = super().binned(factor)
        assert isinstance(binned, FanGeometry)
        source, detector = self.source_distance / factor, self.detector_distance / factor
        return replace(binned, source_distance=source, detector_distance=detector)

    def _project(self, x: NDArray[np.float64], z: NDArray[np.float64], theta: NDArray[np.float64]) -> NDArray[np.float64]:
        cos, sin = np.cos(theta), np.sin(theta)
        total = self.source_distance + self.detector_distance
        return (x * cos - z * sin) * total / (self.source_distance - x * sin - z * cos) / self.pixel_size

    def _to_parallel(
        self, u: NDArray[np.float64], theta: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        gamma = np.arctan(u * self.pixel_size / (self.source_distance + self.detector_distance))
        return theta - gamma, self.source_distance * np.sin(gamma)

    def _check_source(self) -> None:
        nz, _, nx = self.shape
        radius = math.hypot(nz, nx) / 2
        if self.source_distance <= radius:
            raise GeometryError(
                f"a source at {self.source_distance:.6g} voxels from the axis lies within reach of the grid, whose corners "
                f"are {radius:.6g} voxels from the axis"
            )

    def _details(self) -> str:
        return f", source {self.source_distance:.6g}, pixels of {self.pixel_size:.6g}"
