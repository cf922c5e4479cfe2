"""A tilt series: projections with their geometry and weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.display import to_html, to_line
from tomoprior.errors import GeometryError, InputError
from tomoprior.geometry import MAX_ANGLE, Geometry
from tomoprior.geometry.checks import to_tilt_indices
from tomoprior.microscopy.transfer import bin_transfer, check_transfer, select_transfer
from tomoprior.series.binning import block_mean
from tomoprior.series.views import BinnedTilts, SelectedTilts
from tomoprior.series.weights import check_weights, combine_weights
from tomoprior.storage.arrays import detach, split_mask
from tomoprior.storage.lazy import as_lazy


@dataclass(frozen=True, eq=False)
class TiltSeries:
    """Projections ``[angle, y, u]`` with their geometry.

    Parameters
    ----------
    projections
        Line integrals in voxel units, shape ``geometry.range_shape``: a NumPy array, a torch tensor, or an array with
        ``shape`` and ``dtype`` whose indexing returns a NumPy array (a memory map, an HDF5 or Zarr array). An array in a
        file is read only when it is needed. Masked values of a ``numpy.ma`` array get the weight zero.
    geometry
        Angles, grid, detector, centre, voxel size.
    weights
        Inverse variances up to a common factor, zero or positive: one per tilt, shape ``(n_angles,)``, or one per pixel,
        shape ``range_shape``. ``None`` means equal weights.
    views
        Index of each tilt in its source file, shape ``(n_angles,)``.
    metadata
        Other values of the file (source, labels, origin), for the record.
    transfer
        Transfer functions of the images: ``tomoprior.microscopy.Transfer``, or a real array on the grid of ``rfft2``, shape
        ``(n_angles, ny, nu // 2 + 1)``. The projections are then line integrals multiplied by them. ``None`` means 1.

    Raises
    ------
    InputError
        If shapes do not agree, or weights are negative, not finite or all zero.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad([-60, -30, 0, 30, 60]), shape=(8, 4, 16))
    >>> series = tomoprior.TiltSeries(np.ones((5, 4, 16), np.float32), geometry)
    >>> series.exclude([2]).views
    array([0, 1, 3, 4])
    >>> series.angle_range(-0.6, 0.6).projections.shape
    (3, 4, 16)
    >>> series.binned(2).geometry.shape
    (4, 2, 8)
    """

    projections: Any
    geometry: Geometry
    weights: NDArray[np.float32] | None = None
    views: NDArray[np.intp] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    transfer: Any = None

    def __post_init__(self) -> None:
        values, unmasked = split_mask(detach(self.projections))
        if unmasked is not None:
            object.__setattr__(self, "weights", combine_weights(self.weights, unmasked, self.geometry))
        object.__setattr__(self, "projections", values)
        if not hasattr(self.projections, "shape") or not hasattr(self.projections, "dtype"):
            object.__setattr__(self, "projections", np.asarray(self.projections))
        shape, expected = tuple(self.projections.shape), self.geometry.range_shape
        if len(shape) == 3 and shape[0] != expected[0]:
            raise InputError(f"there are {shape[0]} tilts in the data and {expected[0]} angles")
        if shape != expected:
            raise InputError(f"projections of shape {shape} do not fit a geometry for {expected} (angle, y, u)")
        kind = np.dtype(self.projections.dtype).kind
        if kind not in "fiu":
            raise InputError(f"projections must be real numbers, got dtype {self.projections.dtype}")
        if self.weights is not None:
            object.__setattr__(self, "weights", check_weights(self.weights, self.geometry))
        if self.transfer is not None:
            object.__setattr__(self, "transfer", check_transfer(self.transfer, self.geometry))
        if self.views is None:
            object.__setattr__(self, "views", np.arange(self.geometry.n_angles))

    def _facts(self) -> dict[str, str]:
        source = self.metadata.get("source")
        where = "in memory" if isinstance(self.projections, np.ndarray) else "in a file"
        weights = "" if self.weights is None else "per pixel" if self.weights.ndim == 3 else "per tilt"
        return {
            **self.geometry.describe(),
            "values": f"{self.projections.dtype} {where}",
            **({"weights": weights} if weights else {}),
            **({"source": str(source)} if source else {}),
        }

    def __repr__(self) -> str:
        return to_line("TiltSeries", self._facts())

    def _repr_html_(self) -> str:
        return to_html("TiltSeries", list(self._facts().items()))

    def load(self) -> TiltSeries:
        """Return the series with its projections in memory as contiguous float32."""
        data = np.ascontiguousarray(self.projections[...], dtype=np.float32)
        return replace(self, projections=data)

    def select(self, views: ArrayLike) -> TiltSeries:
        """Return a series of some tilts only. Data in a file stay there.

        Parameters
        ----------
        views
            Indices, counted from 0 in this series, in any order, or a boolean mask of shape ``(n_angles,)``.

        Returns
        -------
        TiltSeries
            The tilts in the order of ``views``.

        Raises
        ------
        GeometryError
            If the selection is empty or does not fit.
        """
        geometry = self.geometry.select(views)
        index = to_tilt_indices(views, self.geometry.n_angles)
        data = (
            self.projections[index]
            if isinstance(self.projections, np.ndarray)
            else SelectedTilts(as_lazy(self.projections), index)
        )
        assert self.views is not None
        weights = None if self.weights is None else self.weights[index]
        transfer = select_transfer(self.transfer, index)
        return replace(self, projections=data, geometry=geometry, weights=weights, views=self.views[index], transfer=transfer)

    def exclude(self, views: Iterable[int]) -> TiltSeries:
        """Return a series without some tilts. Data in a file stay there.

        Parameters
        ----------
        views
            Indices of the tilts to leave out, counted from 0 in this series.

        Returns
        -------
        TiltSeries
            The other tilts, in their order.

        Raises
        ------
        InputError
            If a tilt does not exist.
        GeometryError
            If no tilt remains.
        """
        views = list(views)
        n = self.geometry.n_angles
        bad = [v for v in views if not 0 <= v < n]
        if bad:
            raise InputError(f"tilt {bad[0]} cannot be excluded: there are {n}, counted from 0")
        keep = np.ones(n, bool)
        keep[views] = False
        return self.select(keep)

    def angle_range(self, low: float, high: float) -> TiltSeries:
        """Return a series of the tilts in a range of angles. Data in a file stay there.

        Parameters
        ----------
        low, high
            Ends of the range in radians, both included, with a tolerance of a thousandth of a degree.

        Returns
        -------
        TiltSeries
            The tilts within the range, in their order.

        Raises
        ------
        GeometryError
            If an end lies beyond 4 pi, as degrees do.
        InputError
            If no tilt lies in the range.
        """
        worst = max(abs(low), abs(high))
        if MAX_ANGLE < worst < math.inf:
            raise GeometryError(f"{worst:.6g} radians is beyond 4 pi: is it degrees? Use numpy.deg2rad({worst:.6g})")
        tolerance = np.deg2rad(1e-3)
        keep = (self.geometry.angles >= low - tolerance) & (self.geometry.angles <= high + tolerance)
        if not keep.any():
            raise InputError(f"no tilt lies between {np.rad2deg(low):g} and {np.rad2deg(high):g} degrees")
        return self.select(keep)

    def rows(self, start: int, stop: int) -> TiltSeries:
        """Return the slices ``start <= y < stop``, read into memory if the source is a file.

        Parameters
        ----------
        start, stop
            First slice, and the one after the last, counted from 0.

        Returns
        -------
        TiltSeries
            Geometry, projections and weights of these slices.

        Raises
        ------
        GeometryError
            If the slices do not exist.
        InputError
            If the series has a transfer function: it couples the rows of an image.
        """
        geometry = self.geometry.rows(start, stop)
        if self.transfer is not None and geometry != self.geometry:
            raise InputError("a series with a transfer function cannot be cut into slices: it couples the rows of an image")
        weights = self.weights[:, start:stop] if self.weights is not None and self.weights.ndim == 3 else self.weights
        return replace(self, projections=self.projections[:, start:stop, :], geometry=geometry, weights=weights)

    def binned(self, factor: int) -> TiltSeries:
        """Return means over ``factor`` x ``factor`` detector pixels, with the grid and the voxel size binned too.

        Line integrals keep their values, so that values of the volume are per binned voxel. Divided by the voxel size,
        they do not depend on the binning.

        Parameters
        ----------
        factor
            A whole number from 1. Rows and columns beyond a multiple of it are left out.

        Returns
        -------
        TiltSeries
            ``ny // factor`` rows and ``nu // factor`` columns, float32.

        Raises
        ------
        GeometryError
            For another factor, or one larger than the detector.
        InputError
            For a transfer function given as an array, if ``factor`` does not divide the detector.
        """
        geometry = self.geometry.binned(factor)
        if factor == 1:
            return self
        transfer = bin_transfer(self.transfer, factor, self.geometry.detector)
        weights = self.weights
        weights_per_pixel = weights is not None and weights.ndim == 3
        metadata = {**self.metadata, "binned": factor * self.metadata.get("binned", 1)}
        if not weights_per_pixel and not isinstance(self.projections, np.ndarray):
            data = BinnedTilts(as_lazy(self.projections), factor)
            return replace(self, projections=data, geometry=geometry, metadata=metadata, transfer=transfer)
        images, sums = [], []
        for i in range(geometry.n_angles):  # tilt by tilt: a series in a file is never in memory at full size
            image = np.asarray(self.projections[i])
            if weights is not None and weights_per_pixel:
                w = weights[i]
                sums.append(block_mean(w, (factor, factor)))
                # a pixel of weight zero must not change the result, for any value
                image = block_mean(np.where(w > 0, image, 0) * w, (factor, factor)) / np.where(sums[-1] > 0, sums[-1], 1)
                images.append(image.astype(np.float32))
            else:
                images.append(block_mean(image, (factor, factor)))
        if weights_per_pixel:
            weights = np.stack(sums)
        return replace(
            self, projections=np.stack(images), geometry=geometry, weights=weights, metadata=metadata, transfer=transfer
        )

    def flipped_hand(self) -> TiltSeries:
        """Return the data with all angles negated: the volume is mirrored in z."""
        metadata = {**self.metadata, "flipped_hand": not self.metadata.get("flipped_hand", False)}
        return replace(self, geometry=self.geometry.flipped_hand(), metadata=metadata)

    def with_geometry(self, geometry: Geometry) -> TiltSeries:
        """Return the data with another geometry of the same projection shape; raises InputError for another shape."""
        return replace(self, geometry=geometry)
