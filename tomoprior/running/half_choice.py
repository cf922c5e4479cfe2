"""Choose settings by the halves of the frames: each half predicts the images of the other, whose noise is independent."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from tomoprior.errors import InputError, ResultWarning
from tomoprior.methods.base import Method
from tomoprior.projector import FilteredProjector, Projector
from tomoprior.running.reconstruct import reconstruct
from tomoprior.series import TiltSeries

#: The search for a strength starts at this multiple of the rule of thumb, goes by ``FACTOR`` and then by its square root, and
#: stays within ``LIMITS`` of the rule.
FIRST, FACTOR, LIMITS = 16.0, 4.0, (2.0**-6, 2.0**12)
#: Largest number of iterations of a trial. Strengths have nearly the same order after them as after convergence.
TRIAL_ITERATIONS = 100
#: Degrees of ``cn`` to try.
DEGREES = (1, 3, 5)
#: Iterations to try for methods whose regularisation is their end: from this number on, by a factor of 1.5.
FEWEST_ITERATIONS = 4


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
    check_pair(series, other)
    if not np.array_equal(series.geometry.angles, other.geometry.angles):
        raise InputError("halves predict each other's images only if they have the same tilts")
    if not values:
        raise InputError(f"no value of {name} to try")
    errors = [predict_each_other(series, other, method, **{**arguments, name: value}) for value in values]
    return values[int(np.argmin(errors))], errors


def predict_each_other(series: TiltSeries, other: TiltSeries, method: str | Method, **arguments: Any) -> float:
    """Return the squared errors of both predictions, divided by the squares of the data; arguments as for ``reconstruct``."""
    error = total = 0.0
    for fitted, judged in ((series, other), (other, series)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResultWarning)  # a trial is no result
            volume = reconstruct(fitted, method, **arguments).volume
        images = np.asarray(judged.projections[...], np.float32)
        A = Projector(judged.geometry, "cpu")
        if judged.transfer is not None:
            A, images = FilteredProjector(A, judged.transfer), images - images.mean((1, 2), keepdims=True)
        residual = A(torch.from_numpy(np.ascontiguousarray(volume, np.float32))).numpy() - images
        weights = _broadcast(judged)
        error += float((weights * residual.astype(np.float64) ** 2).sum())
        total += float((weights * images.astype(np.float64) ** 2).sum())
    return error / max(total, 1e-300)


def choose_open_settings(
    series: TiltSeries, other: TiltSeries, method: Method, settings: Any, **arguments: Any
) -> tuple[Any, dict[str, Any]]:
    """Return the settings with those that held-out tilts would choose (strength, degree, end) chosen by the halves.

    Parameters
    ----------
    series, other
        Halves with the same tilts.
    method, settings
        The method, and its settings.
    arguments
        Further arguments of ``tomoprior.reconstruct``.

    Returns
    -------
    settings, chosen
        The chosen values by name, with the relative error of the prediction as ``error``; empty if nothing was open.
    """
    chosen: dict[str, Any] = {}

    def error(**values: Any) -> float:
        trial = {**settings.model_dump(), **values}
        return predict_each_other(series, other, method, settings=type(settings).parse(trial), **arguments)

    def settle(**values: Any) -> None:
        nonlocal settings
        settings = type(settings).parse({**settings.model_dump(), **values})
        chosen.update(values)

    penalised = getattr(settings, "reg_par", None) == "held-out" and getattr(settings, "regulariser", "") is not None
    short = {"num_iter": min(getattr(settings, "num_iter", 0), TRIAL_ITERATIONS)} if penalised else {}
    if getattr(settings, "stop", None) == "held-out":
        if penalised:  # the strength keeps the noise out, so that the iterations may converge
            settle(stop=None)
        else:
            values, errors = _walk(lambda n: error(num_iter=round(n), stop=None), FEWEST_ITERATIONS, 1.5, settings.num_iter)
            best = round(values[int(np.argmin(errors))])
            settle(stop=None, num_iter=best)
            chosen["error"] = min(errors)
    if not penalised:
        return settings, chosen
    degrees = DEGREES if getattr(settings, "degree", None) == "held-out" else (None,)
    unit = _rule_of_thumb(series, method, settings, arguments)
    trials: dict[tuple[Any, float], float] = {}

    def try_strength(degree: Any, factor: float) -> float:
        if (degree, factor) not in trials:
            values = {} if degree is None else {"degree": degree}
            trials[degree, factor] = error(reg_par=factor * unit, **values, **short)
        return trials[degree, factor]

    for degree in degrees:
        _search(lambda factor, degree=degree: try_strength(degree, factor), _start(trials))  # type: ignore[misc]
    (degree, factor), least = min(trials.items(), key=lambda item: item[1])
    settle(reg_par=factor * unit, **({} if degree is None else {"degree": degree}))
    chosen["error"] = least
    return settings, chosen


def _start(trials: dict[tuple[Any, float], float]) -> float:
    """Return the best factor so far, from which the search for another degree starts."""
    return min(trials, key=lambda key: trials[key])[1] if trials else FIRST


def _search(error: Callable[[float], float], first: float) -> None:
    """Try strengths on either side of ``first`` until the error rises, then the two between the best and its neighbours."""
    tried = {first: error(first)}
    for step in (1 / FACTOR, FACTOR):
        value = first * step
        while LIMITS[0] <= value <= LIMITS[1]:
            tried[value] = error(value)
            if tried[value] > min(tried.values()):
                break
            value *= step
    best = min(tried, key=lambda key: tried[key])
    for value in (best * math.sqrt(FACTOR), best / math.sqrt(FACTOR)):
        error(value)


def _walk(error: Callable[[float], float], first: float, step: float, last: int) -> tuple[list[float], list[float]]:
    """Return values from ``first`` up to ``last`` until the error has risen twice in a row, and their errors."""
    values, errors = [min(first, float(last))], [error(min(first, float(last)))]
    while values[-1] < last and not (len(errors) > 2 and errors[-1] > errors[-2] > errors[-3]):
        values.append(min(values[-1] * step, float(last)))
        errors.append(error(values[-1]))
    return values, errors


def _rule_of_thumb(series: TiltSeries, method: Method, settings: Any, arguments: dict[str, Any]) -> float:
    """Return the strength by the method's rule of thumb, the unit of the search, or its fixed strength without such a rule."""
    fast = settings.model_dump() | {"num_iter": 1} | dict(type(settings).fast)
    if getattr(settings, "degree", None) == "held-out":
        fast["degree"] = DEGREES[0]
    if fast["reg_par"] != "auto":
        return float(fast["reg_par"])
    quiet = {name: value for name, value in arguments.items() if name != "progress"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResultWarning)
        result = reconstruct(series, method, settings=type(settings).parse(fast | {"num_iter": 1}), **quiet)
    return float(result.provenance["settled"]["reg_par"]) or 1.0


def _broadcast(series: TiltSeries) -> Any:
    if series.weights is None:
        return 1.0
    return series.weights if series.weights.ndim == 3 else series.weights[:, None, None]


def check_pair(a: TiltSeries, b: TiltSeries) -> None:
    """Raise InputError for halves with different grids."""
    first, second = ((g.shape, g.voxel_size, g.unit) for g in (a.geometry, b.geometry))
    if first != second:
        raise InputError(f"the halves have different grids: {a.geometry} and {b.geometry}")
