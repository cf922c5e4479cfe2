"""The alignment of a tilt series: transforms and weights of its images, and how well they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tomoprior.alignment.resampling import ResampledTilts, edge_weights
from tomoprior.alignment.transforms import image_matrices, to_xf
from tomoprior.errors import InputError
from tomoprior.formats.transforms import write_transforms
from tomoprior.geometry import Geometry
from tomoprior.series import TiltSeries
from tomoprior.settings import first_fault
from tomoprior.storage.lazy import as_lazy, one_line

_Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Record(BaseModel):
    """An alignment as its record holds it, from an untrusted file."""

    model_config = ConfigDict(extra="forbid")

    shifts: list[tuple[_Finite, _Finite]]
    axis_angle: _Finite
    detector: tuple[Annotated[int, Field(ge=1, lt=2**24)], Annotated[int, Field(ge=1, lt=2**24)]]
    axis_position: _Finite = 0.0
    rotations: list[_Finite] | None = None
    magnifications: list[Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    weights: list[Annotated[float, Field(ge=0, allow_inf_nan=False)]] | None = None
    residuals_before: list[float] | None = None
    residuals_after: list[float] | None = None
    bad_tilts: list[int] = []
    statements: list[str] = []
    history: list[dict[str, float]] = []


@dataclass(frozen=True, eq=False)
class Alignment:
    """Transforms that move the images of a tilt series to their places, and the quality of the fit.

    Attributes
    ----------
    shifts
        ``(dy, dx)`` of each tilt in unbinned pixels, shape ``(n, 2)``: how far the picture lies from where it should, in the
        axes of the aligned image.
    axis_angle
        Angle of the tilt axis in the raw images in radians: counterclockwise from the y axis where rows grow upwards, as in
        IMOD.
    axis_position
        Position of the tilt axis in the aligned raw field, in pixels from the middle along u. The aligned images have the
        axis in their middle.
    detector
        Rows and columns of the aligned images.
    rotations
        Additional rotation of each tilt in radians, shape ``(n,)``; None for none.
    magnifications
        Magnification of each raw image, shape ``(n,)``; None for 1.
    weights
        Weight of each tilt, from 0 (bad) to 1, shape ``(n,)``; None for 1.
    residuals_before, residuals_after
        ``||image - reprojection|| / ||image||`` of each tilt, shape ``(n,)``, in the band of frequencies that was
        compared; None for an alignment from a file.
    bad_tilts
        Tilts that do not fit, counted from 0.
    statements
        Lines for the user: what is not determined, and bad tilts.
    history
        Residual and step of every round.
    """

    shifts: NDArray[np.float64]
    axis_angle: float
    detector: tuple[int, int]
    axis_position: float = 0.0
    rotations: NDArray[np.float64] | None = None
    magnifications: NDArray[np.float64] | None = None
    weights: NDArray[np.float64] | None = None
    residuals_before: NDArray[np.float64] | None = None
    residuals_after: NDArray[np.float64] | None = None
    bad_tilts: tuple[int, ...] = ()
    statements: tuple[str, ...] = ()
    history: tuple[Mapping[str, float], ...] = field(default=())

    def __post_init__(self) -> None:
        n = len(self.shifts)
        if self.shifts.shape != (n, 2):
            raise InputError(f"shifts must be (dy, dx) for each tilt, got shape {self.shifts.shape}")
        for name in ("rotations", "magnifications", "weights", "residuals_before", "residuals_after"):
            values = getattr(self, name)
            if values is not None and np.shape(values) != (n,):
                raise InputError(f"{name} need one value for each of {n} tilts, got shape {np.shape(values)}")

    @property
    def n_angles(self) -> int:
        """Number of tilts."""
        return len(self.shifts)

    @property
    def matrices(self) -> NDArray[np.float64]:
        """Matrices that take an aligned position to a raw one, shape ``(n, 2, 2)``; see ``transforms``."""
        turned = self.axis_angle + (np.zeros(self.n_angles) if self.rotations is None else self.rotations)
        return image_matrices(turned, np.ones(self.n_angles) if self.magnifications is None else self.magnifications)

    @property
    def offsets(self) -> NDArray[np.float64]:
        """Sums of the shifts and the position of the axis, pixels, shape ``(n, 2)``."""
        return np.asarray(self.shifts + np.array([0.0, self.axis_position]))

    def apply(self, series: TiltSeries) -> TiltSeries:
        """Return the aligned series, whose images are resampled once, by cubic splines, when they are read.

        Pixels from outside the raw field have weight zero. Bad tilts have a lower weight.

        Parameters
        ----------
        series
            The raw series that was aligned, unbinned or not. Its own shifts and centre are replaced.

        Raises
        ------
        InputError
            If the number of tilts differs.
        """
        geometry = series.geometry
        if geometry.n_angles != self.n_angles:
            raise InputError(f"the alignment is of {self.n_angles} tilts, and the series has {geometry.n_angles}")
        matrices, offsets, raw_shape = self.matrices, self.offsets, geometry.detector
        data = ResampledTilts(as_lazy(series.projections), matrices, offsets, self.detector)
        edges = np.stack([edge_weights(raw_shape, m, s, self.detector) for m, s in zip(matrices, offsets, strict=True)])
        given = np.ones(self.n_angles, np.float32) if self.weights is None else self.weights.astype(np.float32)
        weights = _combine(edges, given, series, matrices, offsets, self.detector)
        nz, _, nx = geometry.shape
        aligned = Geometry(
            geometry.angles, (nz, self.detector[0], self.detector[1] if nx == raw_shape[1] else nx), self.detector,
            voxel_size=geometry.voxel_size, unit=geometry.unit,
        )  # fmt: skip
        metadata = {**series.metadata, "alignment": self.to_dict()}
        return replace(series, projections=data, geometry=aligned, weights=weights, metadata=metadata)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers and lists, for JSON; ``from_dict`` is the inverse."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in plain.items()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Alignment:
        """Return the alignment that ``to_dict`` described; raises InputError."""
        try:
            checked = _Record.model_validate(values).model_dump()
        except ValidationError as error:
            reason = one_line(ValueError(first_fault(error)))
            raise InputError(f"these are not the values of an alignment ({reason})") from None
        arrays = {"shifts", "rotations", "magnifications", "weights", "residuals_before", "residuals_after"}
        parsed: dict[str, Any] = {
            k: np.asarray(v, float) if k in arrays and v is not None else tuple(v) if isinstance(v, list) else v
            for k, v in checked.items()
        }
        return cls(**parsed)

    def write_xf(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the transforms as IMOD's ``.xf``; raises OutputExistsError or FormatError.

        ``newstack -xform`` with this file makes the aligned stack.
        """
        turned = self.axis_angle + (np.zeros(self.n_angles) if self.rotations is None else self.rotations)
        sizes = np.ones(self.n_angles) if self.magnifications is None else self.magnifications
        write_transforms(path, to_xf(turned, sizes, self.offsets), overwrite=overwrite)

    def __repr__(self) -> str:
        return (
            f"Alignment({self.n_angles} tilts, axis at {np.rad2deg(self.axis_angle):.2f} degrees, shifts up to "
            f"{np.abs(self.shifts).max():.2f} pixels, {len(self.bad_tilts)} bad)"
        )


def _combine(
    edges: NDArray[np.float32], tilts: NDArray[np.float32], series: TiltSeries, matrices: NDArray[np.float64],
    offsets: NDArray[np.float64], detector: tuple[int, int],
) -> NDArray[np.float32]:  # fmt: skip
    """Return the product of three weights: of the edges, of the tilts, and of the series; the last move with the images."""
    combined = edges * tilts[:, None, None]
    if series.weights is None:
        return combined
    if series.weights.ndim == 1:
        return np.asarray(combined * series.weights[:, None, None])
    moved = ResampledTilts(as_lazy(series.weights), matrices, offsets, detector)[...]
    return np.asarray(combined * np.clip(moved, 0, series.weights.max()))
