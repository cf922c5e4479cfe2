"""Inspection and repair of the pixels of a tilt series: bad pixels, and the kind of values (line integrals or others).

All functions read tilt by tilt, so that a series larger than memory can be inspected and repaired.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.errors import InputError
from tomoprior.series import TiltSeries
from tomoprior.series.mending import PatchedArray, fill_pixels
from tomoprior.series.repeats import RepeatedImages
from tomoprior.storage.lazy import as_lazy

_LARGE_MEAN = 10.0  # line integrals from -log are a few units at most
_MAX_TRANSMISSION = 1.5  # transmissions stay below this, noise included


@dataclass(frozen=True)
class PixelReport:
    """Result of ``describe_pixels``.

    Attributes
    ----------
    nan, infinite
        Number of pixels in each tilt that are NaN or infinite, shape ``(n_angles,)``.
    minimum, maximum, mean
        Over all finite pixels; NaN if there is none.
    looks_like
        ``"line integrals"``, ``"transmissions"`` or ``"counts"``: a guess, unless the file names the kind.
    warnings
        Lines for the user; empty if nothing is suspicious.
    """

    nan: NDArray[np.int64]
    infinite: NDArray[np.int64]
    minimum: float
    maximum: float
    mean: float
    looks_like: str
    warnings: tuple[str, ...]

    @property
    def n_bad(self) -> int:
        """Number of pixels that are not finite."""
        return int(self.nan.sum() + self.infinite.sum())


def describe_pixels(series: TiltSeries, most: int | None = None) -> PixelReport:
    """Read a tilt series once, tilt by tilt, and report its values.

    Parameters
    ----------
    series
        Projections of any real type, shape ``(n_angles, ny, nu)``.
    most
        Read at most so many tilts, evenly spread, of a series that is too large to be read twice. The report has only these.

    Returns
    -------
    report
        Bad pixels per tilt, range and a guess of the kind of values, with warnings for the user. These have the numbers of the
        tilts in the series as it was read (``views``).
    """
    if most is not None and most < series.geometry.n_angles:
        series = series.select(np.linspace(0, series.geometry.n_angles - 1, most).round().astype(int))
    assert series.views is not None
    n, views = series.geometry.n_angles, series.views
    nan, infinite = np.zeros(n, np.int64), np.zeros(n, np.int64)
    low, high, total, count = np.inf, -np.inf, 0.0, 0
    border_minus_middle = 0.0
    twins = RepeatedImages()
    for i in range(n):
        image = np.asarray(series.projections[i])
        good = np.isfinite(image)
        nan[i] = np.count_nonzero(np.isnan(image))
        infinite[i] = image.size - np.count_nonzero(good) - nan[i]
        values = image if good.all() else image[good]
        if not values.size:
            continue
        lowest, highest = float(values.min()), float(values.max())
        low, high = min(low, lowest), max(high, highest)
        total, count = total + float(values.sum(dtype=np.float64)), count + values.size
        border_minus_middle += _border_contrast(image)
        twins.add(int(views[i]), image, is_blank=lowest == highest)
    mean = total / count if count else float("nan")
    kind = _guess_kind(series, low, mean, high, border_minus_middle)
    if not count:
        low = high = float("nan")
    lines = _find_warnings(series, nan, infinite, (low, mean, high), kind)
    return PixelReport(nan, infinite, low, high, mean, kind, (*lines, *(twins.describe() if low < high else ())))


def repair_pixels(series: TiltSeries) -> TiltSeries:
    """Replace every pixel that is not finite by the median of its finite neighbours in the same tilt.

    The window grows from 3 x 3 until at least three neighbours are finite, up to 9 x 9; further inside a hole the
    nearest finite pixel is used. Only the new values are kept in memory: a series in a file stays there, and its pixels
    are replaced when they are read.

    Parameters
    ----------
    series
        Projections, shape ``(n_angles, ny, nu)``.

    Returns
    -------
    series
        The same series if all its pixels are finite; else a series with ``metadata["repaired_pixels"]``, their number.

    Raises
    ------
    InputError
        If a tilt has no finite pixel: it must be excluded, not invented.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> projections = np.ones((3, 4, 8), np.float32)
    >>> projections[1, 2, 3] = np.nan
    >>> series = tomoprior.TiltSeries(projections, tomoprior.Geometry([-0.5, 0, 0.5], (8, 4, 8)))
    >>> repaired = tomoprior.repair_pixels(series)
    >>> float(repaired.projections[1, 2, 3]), repaired.metadata["repaired_pixels"]
    (1.0, 1)
    """
    source = series.projections
    if np.dtype(source.dtype).kind != "f":
        return series
    places: list[NDArray[np.intp]] = []
    patches: list[NDArray[Any]] = []
    for i in range(series.geometry.n_angles):
        image = np.asarray(source[i])
        bad = ~np.isfinite(image)
        if not bad.any():
            continue
        if bad.all():
            raise InputError(f"tilt {i} has no finite pixel and cannot be repaired; exclude it (counted from 0)")
        rows, columns = np.nonzero(bad)
        places.append(np.stack([np.full(len(rows), i), rows, columns], axis=1))
        patches.append(fill_pixels(image, rows, columns))
    if not places:
        return series
    where, values = np.concatenate(places), np.concatenate(patches)
    data: Any = PatchedArray(as_lazy(source), where, values)
    if isinstance(source, np.ndarray):
        data = data[...]
    earlier = series.metadata.get("repaired_pixels", 0)
    return replace(series, projections=data, metadata={**series.metadata, "repaired_pixels": earlier + len(values)})


def _border_contrast(image: NDArray[Any]) -> float:
    """Return the brightness of the left and right border less that of the middle: positive where absorption looks dark."""
    width = max(1, image.shape[1] // 16)
    border = np.concatenate([image[:, :width], image[:, -width:]], axis=1)
    middle = image[:, image.shape[1] // 4 : max(image.shape[1] // 4 + 1, 3 * image.shape[1] // 4)]
    border, middle = border[np.isfinite(border)], middle[np.isfinite(middle)]
    return float(np.median(border) - np.median(middle)) if border.size and middle.size else 0.0


def _guess_kind(series: TiltSeries, low: float, mean: float, high: float, contrast: float) -> str:
    whole = np.dtype(series.projections.dtype).kind in "iu"
    if series.metadata.get("counts"):
        return "transmissions" if not whole and high <= _MAX_TRANSMISSION * 10 else "counts"
    if low >= 0 and (whole or mean > _LARGE_MEAN) and mean > _LARGE_MEAN:
        return "counts"
    if low >= 0 and high <= _MAX_TRANSMISSION and contrast > 0:
        return "transmissions"
    return "line integrals"


def _find_warnings(
    series: TiltSeries, nan: NDArray[np.int64], infinite: NDArray[np.int64], values: tuple[float, float, float], kind: str
) -> list[str]:
    low, mean, high = values
    lines = []
    whole = np.dtype(series.projections.dtype).kind in "iu"
    bad = nan + infinite
    if bad.any():
        assert series.views is not None
        tilts = series.views[np.flatnonzero(bad)]
        listed = ", ".join(map(str, tilts[:8])) + (", ..." if len(tilts) > 8 else "")
        why = " (a transmission of zero or less has no logarithm)" if _was_logarithm(series) and nan.any() else ""
        lines.append(
            f"{int(bad.sum())} pixels are not finite: {int(nan.sum())} NaN{why}, {int(infinite.sum())} infinite, "
            f"in tilts {listed}; they can be replaced by the median of their neighbours (repair_pixels, --repair)"
        )
        n_pixels = int(np.prod(series.geometry.detector))
        empty = series.views[np.flatnonzero(bad == n_pixels)]
        if len(empty):
            lines.append(f"tilts without a finite pixel: {', '.join(map(str, empty[:8]))}; exclude them")
    if low == high:
        lines.append(f"all pixels have the same value, {low:g}")
    if kind == "transmissions":
        lines.append(
            "these look like transmissions (the specimen is darker than its surroundings); a reconstruction needs line "
            "integrals: read them with minus_log (--minus-log)"
        )
    elif kind == "counts" and series.metadata.get("counts"):
        lines.append(
            "these are counts; a reconstruction needs line integrals: normalise by flats, read with minus_log (--minus-log)"
        )
    elif kind == "counts":
        lines.append(
            f"values from {low:g} to {high:g} look like a detector's counts; that is right for dark-field (HAADF) images, less "
            "their background, while X-ray and bright-field images need minus the logarithm of their transmission"
        )
    elif high < 0 or mean < -_LARGE_MEAN or (whole and (low + high) / 2 < -_LARGE_MEAN):
        lines.append(
            f"values from {low:g} to {high:g} are mostly below zero, where a projection is not: subtract the background "
            "(--subtract auto)"
        )
    return lines


def _was_logarithm(series: TiltSeries) -> bool:
    attrs = series.metadata.get("attrs")
    return bool(attrs and attrs.get("minus_log"))
