"""Reconstruct two independent halves of the data, and compare the results."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.methods.base import Method
from tomoprior.metrics import FSC, measured_region
from tomoprior.metrics.halfmaps import HalfMapFSC, half_map_fsc, local_resolution, predict_truth_fsc, sharpen, soft_mask
from tomoprior.projector import FilteredProjector, Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.reconstruct import reconstruct
from tomoprior.series import TiltSeries

#: Fewest tilts for halves of tilts.
FEWEST_TILTS = 4
#: Method without a prior that predicts the correlation with the truth, and its iterations: few, before noise grows.
LINEAR_METHOD, LINEAR_ITERATIONS = "cgls", 4
#: Largest edge of the window of the local resolution, in voxels.
WINDOW = 16


@dataclass(frozen=True, eq=False)
class HalfReconstructions:
    """Reconstructions of two halves and their comparison.

    Attributes
    ----------
    first, second
        Reconstructions of the halves, by the same method with the same settings.
    mean
        Their mean. Its provenance has the resolution.
    sharpened
        The mean weighted by the expected correlation with the truth at each frequency.
    correlation
        FSC of the halves in the directions that the tilts measured, inside a soft mask.
    predicted
        Expected FSC of the mean with the truth in these directions, from linear reconstructions of the other half: see
        ``tomoprior.metrics.halfmaps.predict_truth_fsc``.
    local
        Local resolution as a length in the unit of the geometry, shape ``(nz, ny, nx)``; None for volumes below 8 voxels.
    resolution
        The length at which ``predicted`` falls below 0.5, in the unit of the geometry.
    half_resolution
        The length at which ``correlation.corrected`` falls below 0.143: that of a method without a prior.
    series
        The data of ``first`` and ``second``; None if only the volumes were compared.
    """

    first: Reconstruction
    second: Reconstruction
    mean: Reconstruction
    sharpened: Reconstruction
    correlation: HalfMapFSC
    predicted: FSC
    local: Any
    resolution: float
    half_resolution: float
    series: tuple[TiltSeries, TiltSeries] | None = None


def split_tilts(series: TiltSeries) -> tuple[TiltSeries, TiltSeries]:
    """Return the even and the odd tilts in the order of angle; raises InputError with fewer than four."""
    n = series.geometry.n_angles
    if n < FEWEST_TILTS:
        raise InputError(f"{n} tilts are too few for two halves: it takes {FEWEST_TILTS}")
    order = np.argsort(series.geometry.angles, kind="stable")
    return series.select(np.sort(order[0::2])), series.select(np.sort(order[1::2]))


def reconstruct_halves(
    series: TiltSeries, other: TiltSeries | None = None, method: str | Method = "sirt", **arguments: Any
) -> HalfReconstructions:
    """Reconstruct two halves of the data and compare them.

    The prior of a method acts on both halves. In the missing wedge, which has no data, the halves agree about what the prior
    invents. Therefore the comparison uses only the directions between the smallest and the largest tilt.

    Parameters
    ----------
    series
        The first half (of the frames of each tilt, say), or all data.
    other
        The second half, on the same grid. None: the even and the odd tilts of ``series`` in the order of angle.
    method, arguments
        As for ``tomoprior.reconstruct``, without ``out``.

    Returns
    -------
    HalfReconstructions
        Both volumes, their mean, its resolution for the whole volume and around each voxel.

    Raises
    ------
    InputError
        If the halves have different grids or voxel sizes, or there are too few tilts.

    Examples
    --------
    >>> import numpy as np
    >>> from tomoprior.simulate import simulate
    >>> series = simulate("spheres", (16, 16, 32), np.deg2rad(np.arange(-60, 61, 4)), snr=1.0).series
    >>> halves = reconstruct_halves(series, method="sirt", num_iter=5)
    >>> halves.mean.volume.shape
    (16, 16, 32)
    >>> halves.resolution >= 2 * halves.mean.voxel_size
    True
    """
    if "out" in arguments:
        raise InputError("halves are compared in memory: leave out= away, and write the mean")
    a, b = split_tilts(series) if other is None else (series, other)
    _check_pair(a, b)
    first, second = (reconstruct(half, method, **arguments) for half in (a, b))
    plain = {name: arguments[name] for name in ("device", "kind", "backend", "threads") if name in arguments}
    linear = tuple(reconstruct(half, LINEAR_METHOD, num_iter=LINEAR_ITERATIONS, **plain) for half in (a, b))
    compared = compare_halves(first, second, np.concatenate([a.geometry.angles, b.geometry.angles]), (linear[0], linear[1]))
    return replace(compared, series=(a, b))


def compare_halves(
    first: Reconstruction, second: Reconstruction, angles: Any, linear: tuple[Reconstruction, Reconstruction] | None = None
) -> HalfReconstructions:
    """Return the comparison of two reconstructions of independent halves with the tilts ``angles`` (radians) together.

    ``linear`` holds reconstructions of the same halves by a linear method. By default the halves themselves serve as these.
    """
    geometry = first.geometry
    mean = ((np.asarray(first.volume) + np.asarray(second.volume)) / 2).astype(np.float32)
    region = measured_region(mean.shape, angles, mode="wedge")
    correlation = half_map_fsc(first.volume, second.volume, soft_mask(mean), region=region)
    plain = (first.volume, second.volume) if linear is None else (linear[0].volume, linear[1].volume)
    predicted = predict_truth_fsc((first.volume, second.volume), plain, region=region)
    # a curve without a crossing has a frequency of 0: nothing is resolved
    resolution, half_resolution = (
        geometry.voxel_size / frequency if frequency else math.inf
        for frequency in (predicted.crossing(0.5), correlation.resolved_frequency)
    )
    record = {
        **first.provenance,
        "halves": {
            "resolution": resolution,
            "unit": geometry.unit,
            "half_resolution": half_resolution,
            "substituted_from": correlation.substituted_from,
            "frequency": [round(float(f), 5) for f in correlation.corrected.frequency],
            "fsc": [None if np.isnan(c) else round(float(c), 5) for c in correlation.corrected.correlation],
            "predicted": [None if np.isnan(c) else round(float(c), 5) for c in predicted.correlation],
        },
    }
    window = min(WINDOW, *mean.shape)
    local = None
    if window >= 8:
        lengths = local_resolution(first.volume, second.volume, window=window) * geometry.voxel_size
        local = lengths.astype(np.float32)
    sharp = sharpen(mean, correlation.corrected).astype(np.float32)
    return HalfReconstructions(
        first, second, Reconstruction(mean, geometry, provenance=record),
        Reconstruction(sharp, geometry, provenance=record), correlation, predicted, local, resolution,
        half_resolution,
    )  # fmt: skip


def choose_by_halves(
    series: TiltSeries, other: TiltSeries, method: str | Method, name: str, values: Sequence[Any], **arguments: Any
) -> tuple[Any, list[float]]:
    """Return the value of a setting with which each half best predicts the images of the other half, and all errors.

    The noise of the halves is independent. A fit of one half's noise therefore does not help to predict the other half, and the
    choice works at any signal-to-noise ratio. Halves must have the same tilts (even and odd frames).

    Parameters
    ----------
    series, other
        The halves.
    method, arguments
        As for ``tomoprior.reconstruct``.
    name, values
        Name of a setting of the method, and the values to try.

    Returns
    -------
    value, errors
        The best of ``values``; for each value the sum of the squared errors over both predictions, divided by that of the data.

    Raises
    ------
    InputError
        If the halves have different geometries, or ``values`` is empty.
    """
    _check_pair(series, other)
    if not np.array_equal(series.geometry.angles, other.geometry.angles):
        raise InputError("halves predict each other's images only if they have the same tilts")
    if not values:
        raise InputError(f"no value of {name} to try")
    errors = []
    for value in values:
        error = total = 0.0
        for fitted, judged in ((series, other), (other, series)):
            volume = reconstruct(fitted, method, **{**arguments, name: value}).volume
            images = np.asarray(judged.projections[...], np.float32)
            A = Projector(judged.geometry, "cpu")
            if judged.transfer is not None:
                A, images = FilteredProjector(A, judged.transfer), images - images.mean((1, 2), keepdims=True)
            residual = A(torch.from_numpy(np.ascontiguousarray(volume, np.float32))).numpy() - images
            weights = _broadcast(judged)
            error += float((weights * residual.astype(np.float64) ** 2).sum())
            total += float((weights * images.astype(np.float64) ** 2).sum())
        errors.append(error / max(total, 1e-300))
    return values[int(np.argmin(errors))], errors


def _broadcast(series: TiltSeries) -> Any:
    if series.weights is None:
        return 1.0
    return series.weights if series.weights.ndim == 3 else series.weights[:, None, None]


def _check_pair(a: TiltSeries, b: TiltSeries) -> None:
    first, second = ((g.shape, g.voxel_size, g.unit) for g in (a.geometry, b.geometry))
    if first != second:
        raise InputError(f"the halves have different grids: {a.geometry} and {b.geometry}")
