"""The plan that cuts a volume into slabs along y: the rows of each slab, its halo, and what that costs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from tomoprior import memory
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import ALLOCATOR_BYTES, Method, RowMethod, SlabMethod
from tomoprior.projector import ProjectorOptions
from tomoprior.running.estimate import MemoryEstimate, estimate_memory, estimate_method
from tomoprior.running.slabs.budget import usable_memory

#: Rows of a slab are a multiple of this where memory allows: the rows in a shard of a Zarr volume.
ROWS = 32

#: Largest number of rows that ``auto`` gives a slab, because a crash costs one slab. A slab with a halo may have
#: HALOS_PER_SLAB times the halo if that is more, because the halo is computed twice.
MAX_ROWS, HALOS_PER_SLAB = 96, 8

#: Smallest number of slabs per worker with several workers, so that all workers finish at nearly the same time.
PER_WORKER = 4

#: Memory of weights, initial volumes and masks in units of their size: themselves and one copy.
COPIES = 2

#: Size of a shard of a Zarr volume. Writing takes two copies of one beside a slab's result; a slab with a halo is copied too.
SHARD = 32 << 20

#: The least memory in a message is rounded up to a multiple of these bytes: interpreters differ in size from run to run.
ROUNDED_TO = 32 << 20


@dataclass(frozen=True)
class Slab:
    """Rows ``start <= y < stop`` of the volume, computed from the rows ``first <= y < last`` of the projections."""

    number: int
    start: int
    stop: int
    first: int
    last: int

    @property
    def rows(self) -> slice:
        """The slab's own rows, counted within the rows that it sees."""
        return slice(self.start - self.first, self.stop - self.first)


@dataclass(frozen=True)
class Plan:
    """All slabs of a run.

    Attributes
    ----------
    rows
        Rows of a slab; the last slab has the remaining rows.
    halo
        Rows that a slab sees beyond its own on either side, as far as the volume has them.
    blend
        Rows on either side of a border over which two slabs are blended.
    workers
        Number of slabs at a time.
    """

    slabs: tuple[Slab, ...]
    rows: int
    halo: int
    blend: int
    workers: int

    @property
    def pilot(self) -> Slab:
        """The slab in the middle, whose choices hold for all."""
        return self.slabs[len(self.slabs) // 2]

    @property
    def borders(self) -> list[int]:
        """First rows of all slabs but the first, where neighbours are blended; empty without blending."""
        return [slab.start for slab in self.slabs[1:]] if self.blend else []


@dataclass(frozen=True)
class PlanCost:
    """Cost of a plan.

    Attributes
    ----------
    memory
        Bytes for each worker, without its Python interpreter.
    seconds
        Time for all slabs.
    disk
        Largest number of bytes on the disk.
    """

    memory: int
    seconds: float
    disk: int


def halo_rows(geometry: Geometry, method: Method, settings: Any) -> int:
    """Return the rows beyond its own that a slab has to see: the method's halo and the tilts' shifts along y.

    Raises
    ------
    InputError
        For a method that couples slices and does not say how far.
    """
    rows = 0
    if isinstance(method, SlabMethod):
        rows = int(method.halo(geometry, settings))
    elif method.couples_slices:
        raise InputError(f"{method.name} couples slices and does not say how far (halo): it cannot run slab by slab")
    if geometry.couples_slices and geometry.shifts is not None:
        rows += math.ceil(float(np.abs(geometry.shifts[:, 0]).max())) + 1
    return rows


def split_rows(geometry: Geometry, rows: int, halo: int, workers: int = 1) -> Plan:
    """Return the plan for slabs of ``rows``, or of the rows that are blended at both ends if those are more."""
    ny = geometry.shape[1]
    blend = halo // 2
    rows = min(ny, max(rows, 2 * blend, 1))
    starts = list(range(0, ny, rows))
    if len(starts) > 1 and ny - starts[-1] < 2 * blend:
        starts.pop()  # too thin to be blended: the slab before it takes these rows
    stops = [*starts[1:], ny]
    slabs = tuple(
        Slab(i, a, b, max(0, a - halo), min(ny, b + halo)) for i, (a, b) in enumerate(zip(starts, stops, strict=True))
    )
    return Plan(slabs, rows, halo, blend, workers)


def choose_rows(
    geometry: Geometry, halo: int, needed: Callable[[int], int], budget: int, workers: int, reserved: int | None = None
) -> int:
    """Return the rows of the highest slab that fits: ``needed(rows)`` is the bytes of a slab that sees ``rows``.

    Parameters
    ----------
    budget
        Bytes for each worker.
    reserved
        Bytes of all Python interpreters, where the user has set the memory of the run: an error names the least memory.

    Raises
    ------
    InputError
        If not even the thinnest slab fits into ``budget`` bytes.
    """
    ny = geometry.shape[1]
    blend = halo // 2
    wanted = max(MAX_ROWS, HALOS_PER_SLAB * halo)
    if workers > 1:
        wanted = min(wanted, max(ROWS, -(-ny // (PER_WORKER * workers))))
    wanted = min(ny, -(-wanted // ROWS) * ROWS)

    def largest(rows: int) -> int:
        return needed(max(slab.last - slab.first for slab in split_rows(geometry, rows, halo).slabs))

    least = max(1, 2 * blend)
    tried: list[int] = [wanted, *range(wanted // ROWS * ROWS, 0, -ROWS), *range(min(ROWS, wanted), least, -1), least]
    for rows in tried:
        if rows >= least and largest(rows) <= budget:
            return rows
    more = "more memory"
    if reserved is not None:
        total = workers * largest(least) + reserved
        more = f"--memory {-(-total // ROUNDED_TO) * (ROUNDED_TO >> 20)}MiB or more"
    raise InputError(
        f"a slab of {least} row(s) needs {memory.format_bytes(largest(least))} without the Python interpreter, and each "
        f"worker has {memory.format_bytes(max(0, budget))}: use {more}, fewer workers, --bin, --backend astra-2d "
        "or a smaller --thickness"
    )


def plan_slabs(
    geometry: Geometry,
    method: Method,
    settings: Any,
    options: ProjectorOptions,
    *,
    slab: int | Literal["auto"] = "auto",
    workers: int = 1,
    budget: int | None = None,
    row_bytes: int = 0,
    reserved: int | None = None,
) -> Plan:
    """Return the plan that cuts a volume into slabs that fit into memory.

    Parameters
    ----------
    slab
        Rows of a slab without its halo. ``auto``: as many as fit, up to 96 or eight halos.
    workers
        Number of slabs at a time; each gets an equal share of the memory.
    budget
        Bytes for all workers together, without their Python interpreters; by default ``usable_memory``.
    row_bytes
        Bytes per row of the other inputs: weights of pixels, an initial volume, a mask.
    reserved
        As in ``choose_rows``.

    Raises
    ------
    InputError
        If no slab fits, or the method cannot run slab by slab.
    """
    ny = geometry.shape[1]
    halo = halo_rows(geometry, method, settings)
    if slab != "auto":
        if not int(slab) >= 1:
            raise InputError(f"a slab has at least one row, got {slab}")
        return split_rows(geometry, int(slab), halo, workers)

    def needed(rows: int) -> int:
        part = geometry.rows(0, min(rows, ny))
        own = settings_for_rows(method, settings, range(part.shape[1]))
        one = estimate_memory(method, options.projector(part), own)
        return _with_writing(part, one, halo) + COPIES * row_bytes * part.shape[1]

    each = (usable_memory(options.device) if budget is None else budget) // workers
    return split_rows(geometry, choose_rows(geometry, halo, needed, each, workers, reserved), halo, workers)


def estimate_cost(plan: Plan, geometry: Geometry, method: Method, settings: Any, options: ProjectorOptions) -> PlanCost:
    """Return the cost of a plan, by its tallest slab."""
    tallest = max(plan.slabs, key=lambda slab: slab.last - slab.first)
    part = geometry.rows(tallest.first, tallest.last)
    projector = options.projector(part)
    settings = settings_for_rows(method, settings, range(part.shape[1]))
    one = estimate_method(method, projector, settings)
    prepared = projector.cost.seconds if method.uses_projector else 0.0
    rows = sum(slab.last - slab.first for slab in plan.slabs)
    seconds = (one.seconds - prepared) * rows / part.shape[1] / plan.workers + prepared
    volume = 4 * math.prod(geometry.shape)
    borders = len(plan.borders) * 4 * plan.blend * 4 * geometry.shape[0] * geometry.shape[2]
    return PlanCost(_with_writing(part, one, plan.halo), seconds, volume + volume // 7 + borders)


def settings_for_rows(method: Method, settings: Any, rows: range) -> Any:
    """Return the settings of a slab that sees ``rows``."""
    return method.settings_for_rows(settings, rows) if isinstance(method, RowMethod) else settings


def _with_writing(part: Geometry, one: MemoryEstimate, halo: int) -> int:
    """Return the bytes of a slab's run: of the method, or of writing, when the method's arrays are gone."""
    result = 4 * math.prod(part.shape)
    return max(one.memory, ALLOCATOR_BYTES + result * (2 if halo else 1) + 2 * min(SHARD, result))
