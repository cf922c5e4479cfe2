"""Reconstruct two independent halves of the data, and compare the results."""

from __future__ import annotations

import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tomoprior.errors import InputError
from tomoprior.methods.base import HalvesMethod, Method
from tomoprior.metrics import FSC, measured_region
from tomoprior.metrics.halfmaps import HalfMapFSC, half_map_fsc, local_resolution, predict_truth_fsc, sharpen, soft_mask
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.arguments import resolve_method
from tomoprior.running.half_choice import check_pair, choose_open_settings
from tomoprior.running.reconstruct import reconstruct
from tomoprior.series import TiltSeries

#: Fewest tilts for halves of tilts.
FEWEST_TILTS = 4
#: Method without a prior that predicts the correlation with the truth, and its iterations: few, before noise grows.
LINEAR_METHOD, LINEAR_ITERATIONS = "cgls", 4
#: Arguments of ``tomoprior.reconstruct`` in memory that are no settings of a method.
RUN = ("device", "kind", "backend", "initial", "mask", "seed", "threads", "progress", "fast")
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

    Settings that the method leaves to held-out tilts (a strength, the degree of ``cn``, the end of an iteration) are chosen by
    the halves, if these have the same tilts: so that each half predicts the images of the other half best. ``wedge`` then
    trains one network to predict each half from the other, and applies it to both.

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
    check_pair(a, b)
    run = {name: arguments.pop(name) for name in RUN if name in arguments}
    resolved, settings = resolve_method(method, arguments.pop("settings", None), arguments, fast=run.pop("fast", False))
    chosen: dict[str, Any] = {}
    learned: Reconstruction | None = None
    with tempfile.TemporaryDirectory() as folder:
        if other is not None and np.array_equal(a.geometry.angles, b.geometry.angles):
            learned, settings = _learn(a, b, resolved, settings, Path(folder), run)
            if learned is None:
                settings, chosen = choose_open_settings(a, b, resolved, settings, **run)
        first, second = (reconstruct(half, resolved, settings=settings, **run) for half in (a, b))
    plain = {name: run[name] for name in ("device", "kind", "backend", "threads") if name in run}
    linear = tuple(reconstruct(half, LINEAR_METHOD, num_iter=LINEAR_ITERATIONS, **plain) for half in (a, b))
    compared = compare_halves(first, second, np.concatenate([a.geometry.angles, b.geometry.angles]), (linear[0], linear[1]))
    record = compared.mean.provenance
    if learned is not None:  # the record of the training, not that of its use
        record = {**record, **learned.provenance, "geometry": record["geometry"]}
    record = {**record, "halves": {**compared.mean.provenance["halves"], "chosen": chosen}}
    mean, sharpened = (replace(volume, provenance=record) for volume in (compared.mean, compared.sharpened))
    return replace(compared, mean=mean, sharpened=sharpened, series=(a, b))


def _learn(
    a: TiltSeries, b: TiltSeries, method: Method, settings: Any, folder: Path, run: dict[str, Any]
) -> tuple[Reconstruction | None, Any]:
    """Return the result from which a method has learned to predict each half from the other, and settings for each half.

    None and the settings as they are, for a method that does not learn from halves.
    """
    together = method.settings_for_halves(settings) if isinstance(method, HalvesMethod) else None
    if together is None:
        return None, settings
    assert isinstance(method, HalvesMethod)
    result = reconstruct(join_halves(a, b), method, settings=together, **run)
    values = method.settings_from_halves(result, settings, folder)
    return result, type(settings).parse({**settings.model_dump(), **values})


def join_halves(a: TiltSeries, b: TiltSeries) -> TiltSeries:
    """Return the series that has all images of ``a``, then all of ``b``; raises InputError if their geometries differ."""
    if a.geometry.digest() != b.geometry.digest():
        raise InputError("the halves have different shifts or axes: one network cannot learn from both")
    n = a.geometry.n_angles
    twice = a.select(np.tile(np.arange(n), 2))
    weights = None
    if a.weights is not None or b.weights is not None:
        both = [np.ones(n, np.float32) if half.weights is None else half.weights for half in (a, b)]
        if len({w.ndim for w in both}) > 1:
            raise InputError("one half has weights of pixels, and the other has not")
        weights = np.concatenate(both)
    projections = np.concatenate([np.asarray(half.projections[...], np.float32) for half in (a, b)])
    return replace(twice, projections=projections, weights=weights)


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
