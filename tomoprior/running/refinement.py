"""Refine the shifts of the tilts while a method reconstructs: rounds of a reconstruction and a step of each tilt's shift."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.alignment.matching import Match, match, remove_gauge
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import ComparingMethod, Method
from tomoprior.progress import Progress
from tomoprior.projector import ProjectorOptions
from tomoprior.running.arguments import resolve_seed
from tomoprior.running.in_memory import run_method, seed_and_threads, to_tensor
from tomoprior.series import TiltSeries

#: Rows in the middle of the field that determine the shifts; all slabs of a large volume share them.
ROWS = 128
#: Share of a Gauss-Newton step that a round takes, and the largest step, pixels.
DAMPING, LIMIT = 0.8, 1.0
#: Pixels at the border of an image that do not count: what enters there is not in the volume.
MARGIN = 2


def refine_shifts(
    series: TiltSeries,
    method: Method,
    settings: Any,
    options: ProjectorOptions,
    rounds: int,
    *,
    seed: int = 0,
    threads: int | None = None,
    progress: Progress | None = None,
) -> tuple[TiltSeries, Any]:
    """Return the series with refined shifts in its geometry, and the settings of the run with them.

    ``metadata["refined_shifts"]`` of the series describes the change.

    In each round the method reconstructs with the current shifts. Every tilt then takes one damped Gauss-Newton step towards
    its reprojection (van Leeuwen, Maretzke and Batenburg, Inverse Problems 34 (2018) 024004, by alternation). The part of the
    shifts that only moves the volume is taken off. The images are not resampled: the projector has the shifts.

    A ``ComparingMethod`` learns after each round how uncertain every shift is. The variance is that of the step with a fixed
    volume, widened by the tilt's misfit, and the mean square of the step itself: a tilt whose shift still moves, or that shows
    no contrast, counts less.

    Parameters
    ----------
    series
        Projections whose shifts are right to about two pixels.
    method, settings, options, seed, threads
        As in a run of the method.
    rounds
        Number of reconstructions before the final one.
    progress
        Called after each round.

    Raises
    ------
    InputError
        For a series with a transfer function, or a fan beam.
    """
    geometry = series.geometry
    if series.transfer is not None or type(geometry) is not Geometry:
        raise InputError("shifts are refined for parallel beams without a transfer function; run `tomoprior align` first")
    first = max(0, (geometry.detector[0] - ROWS) // 2)
    block = series.rows(first, min(geometry.detector[0], first + ROWS))
    angles, ones = geometry.angles, np.ones(geometry.n_angles)
    start = np.zeros((geometry.n_angles, 2)) if geometry.shifts is None else geometry.shifts
    shifts, residuals, given = start, [], settings
    for number in range(1, rounds + 1):
        at = _compare(block, shifts, method, settings, options, seed=seed, threads=threads)
        residuals.append(float(at.residuals.mean()))
        moved = remove_gauge(shifts - start + DAMPING * np.clip(at.shifts, -LIMIT, LIMIT), angles, ones) + start
        if isinstance(method, ComparingMethod):
            settings = method.settings_for_shifts(given, _estimate_stds(at, moved - shifts))
        shifts = moved
        if progress is not None:
            progress(number, rounds, {"residual": residuals[-1]})
    change = shifts - start
    described = {
        "rounds": rounds, "rows": [first, first + block.geometry.detector[0]], "residuals": residuals,
        "rms_change": np.sqrt(np.mean(change**2, axis=0)).tolist(), "shifts": shifts.tolist(),
    }  # fmt: skip
    refined = replace(geometry, shifts=shifts)
    return replace(series, geometry=refined, metadata={**series.metadata, "refined_shifts": described}), settings


def _estimate_stds(at: Match, step: NDArray[np.float64]) -> tuple[float, ...]:
    """Return the standard deviation of each tilt's shift after a step ``(n, 2)``, pixels; its weights are inverse variances."""
    counted = np.maximum((at.weights > 0).sum(axis=(1, 2)), 1)
    misfits = np.maximum(at.squares / counted, 1)
    variances = np.linalg.eigvalsh(np.linalg.inv(at.normal))[:, -1] * misfits
    return tuple(np.sqrt(np.minimum(variances + np.mean(step**2, axis=1), LIMIT**2)).tolist())


def _compare(
    block: TiltSeries, shifts: NDArray[np.float64], method: Method, settings: Any, options: ProjectorOptions, *, seed: int,
    threads: int | None,
) -> Match:  # fmt: skip
    """Reconstruct with given shifts and compare the projections with the reprojections."""
    projector = options.projector(replace(block.geometry, shifts=shifts))
    data = to_tensor(block.projections, projector.device)
    weights = None if block.weights is None else to_tensor(block.weights, projector.device)
    if isinstance(method, ComparingMethod):
        settings, seed = resolve_seed(settings, seed)
        with seed_and_threads(seed, threads):
            found = method.compare_tilts(data, projector, settings, weights=weights)
        images, reprojections, counted = (v.cpu().numpy() for v in (found.images, found.reprojections, found.weights))
    else:
        result = run_method(method, data, projector, settings, weights=weights, seed=seed, threads=threads)
        images = data.cpu().numpy()
        reprojections = projector(torch.as_tensor(result.volume, device=projector.device)).cpu().numpy()
        counted = np.ones(block.geometry.range_shape, np.float32)
        if weights is not None:
            given = weights.cpu().numpy()
            counted *= given if given.ndim == 3 else given[:, None, None]
    return match(images, reprojections, counted * _mark_inside(block.geometry, shifts))


def _mark_inside(geometry: Geometry, shifts: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where pixels count, shape ``(ny, nu)``; raises InputError if there is none."""
    inside = np.ones(geometry.detector, bool)
    for axis in (0, 1):
        reach = np.ceil(np.abs(shifts[:, axis]).max()) * (axis == 0) + MARGIN  # rows from outside are empty
        border = np.arange(inside.shape[axis])
        good = (border >= reach) & (border < inside.shape[axis] - reach)
        inside &= good[:, None] if axis == 0 else good
    if not inside.any():
        raise InputError("the images are too small for their shifts; run `tomoprior align` first")
    return inside
