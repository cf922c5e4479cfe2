"""Memory and time of a run before it starts: memory from formulas, time from a small product measured here."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from tomoprior.geometry import Geometry
from tomoprior.methods.base import Method
from tomoprior.methods.solving.padding import settle_padding
from tomoprior.microscopy.strips import defocus_strips
from tomoprior.microscopy.transfer import Transfer
from tomoprior.projector import Projector
from tomoprior.projector.backends import Cost, Kind
from tomoprior.running.arguments import resolve_method
from tomoprior.series import TiltSeries
from tomoprior.settings import Settings

#: Side of the small problem that is timed, its number of slices, and its largest number of tilts.
SAMPLE, SLICES, TILTS = 128, 16, 61

#: With a transfer function: arrays of the size of the projections that filters, spectra and step sizes take, and the factor on
#: the time (measured with 41 tilts of 128 x 128 pixels on one core: 1.25 for a pair of products).
FILTER_ARRAYS, FILTER_TIME = 7, 1.3
#: Arrays of that size for each further strip of columns: three half spectra of filters, and three more while they are prepared.
STRIP_ARRAYS = 3


@dataclass(frozen=True)
class MemoryEstimate:
    """Memory of a run.

    Attributes
    ----------
    data
        Bytes of the projections and the result.
    projector
        Bytes of the prepared projector.
    method
        Bytes of the method's own arrays at the peak, without the result.
    """

    data: int
    projector: int
    method: int

    @property
    def memory(self) -> int:
        """Bytes in total."""
        return self.data + self.projector + self.method


@dataclass(frozen=True)
class Estimate(MemoryEstimate):
    """Memory and time of a run.

    Attributes
    ----------
    seconds
        Wall-clock time in total.
    backend, device
        The projector backend and the device that the run would use.
    """

    seconds: float
    backend: str
    device: str


def estimate(
    series: TiltSeries,
    method: str | Method = "sirt",
    *,
    device: str | torch.device = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
    settings: Settings | None = None,
    fast: bool = False,
    **values: Any,
) -> Estimate:
    """Estimate memory and time of ``tomoprior.reconstruct`` in memory; takes about a tenth of a second.

    Of the projections a few tilts are read where a method's padding depends on their borders.

    Parameters
    ----------
    series
        The series that would be reconstructed.
    method
        A name that ``tomoprior.methods.available()`` lists, or a method object.
    device, kind, backend
        As in ``Projector``.
    settings, **values
        The method's settings, as an object or one by one (``num_iter=50``).
    fast
        As in ``tomoprior.reconstruct``.

    Returns
    -------
    Estimate
        ``memory`` in bytes with its parts ``data``, ``projector`` and ``method``, and ``seconds``.

    Raises
    ------
    UnknownNameError, SettingsError, BackendError
        As ``tomoprior.reconstruct`` does.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 3)), (16, 8, 32))
    >>> series = tomoprior.TiltSeries(np.zeros(geometry.range_shape, np.float32), geometry)
    >>> cost = tomoprior.estimate(series, "sirt", num_iter=50)
    >>> cost.data == 4 * (41 * 8 * 32 + 16 * 8 * 32)
    True
    """
    resolved, settings = resolve_method(method, settings, values, fast=fast)
    settings = settle_padding(settings, series.projections, series.geometry, series.weights)
    plain = estimate_method(resolved, Projector(series.geometry, device, kind, backend), settings)
    if series.transfer is None:
        return plain
    size = 4 * int(np.prod(series.geometry.range_shape))
    strips = defocus_strips(series.transfer, series.geometry) if isinstance(series.transfer, Transfer) else None
    more = 0 if strips is None else len(strips.windows) - 1
    filters = (FILTER_ARRAYS + STRIP_ARRAYS * more) * size
    time = FILTER_TIME + (FILTER_TIME - 1) * more
    return replace(plain, projector=plain.projector + filters, seconds=time * plain.seconds)


def estimate_memory(method: Method, projector: Projector, settings: Any) -> MemoryEstimate:
    """Return the memory of ``method`` with this projector, by formulas alone."""
    geometry = projector.geometry
    result, projections = (4 * int(np.prod(shape)) for shape in (geometry.domain_shape, geometry.range_shape))
    own = max(0, method.memory(geometry, settings) - result)  # a method's peak includes the result
    return MemoryEstimate(result + projections, _preparation(method, projector).bytes, own)


def estimate_method(method: Method, projector: Projector, settings: Any) -> Estimate:
    """Return memory and time of ``method`` with this projector; takes about a tenth of a second."""
    geometry = projector.geometry
    needed = estimate_memory(method, projector, settings)
    pair = _seconds_per_pair(projector) * _pair_size(geometry)
    seconds = _preparation(method, projector).seconds + pair * method.cost_in_pairs(geometry, settings)
    return Estimate(needed.data, needed.projector, needed.method, seconds, projector.backend, str(projector.device))


def warm_up(projector: Projector) -> None:
    """Run a small product, so that the backend's libraries hold what they compile and keep, which counts as interpreter."""
    _seconds_per_pair(projector)


def _preparation(method: Method, projector: Projector) -> Cost:
    return projector.cost if method.uses_projector else Cost(0, 0.0)


def _pair_size(geometry: Geometry) -> float:
    """Return voxels times tilts: the time of a pair of products grows with it."""
    return float(np.prod(geometry.domain_shape)) * geometry.n_angles


def _seconds_per_pair(projector: Projector) -> float:
    """Return seconds of a forward projection and an adjoint, per voxel and tilt, measured on a small geometry."""
    full = projector.geometry
    nz, ny, nx = (min(n, limit) for n, limit in zip(full.shape, (SAMPLE, SLICES, SAMPLE), strict=True))
    small = Geometry(full.angles[:: -(-full.n_angles // TILTS)], (nz, ny, nx), (ny, min(full.detector[1], SAMPLE)))
    timed = Projector(small, projector.device, projector.kind, projector.backend)
    x = torch.ones(small.domain_shape, device=projector.device, dtype=torch.float32)
    best = float("inf")
    for _ in range(3):  # the first also builds the matrix
        started = time.perf_counter()
        y = timed.T(timed(x))
        float(y[0, 0, 0])  # waits for a GPU
        best = min(best, time.perf_counter() - started)
    return best / _pair_size(small)
