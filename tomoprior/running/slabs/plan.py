"""How a volume is cut along y: which rows a slab has, which it sees besides, and what that takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from tomoprior import memory
from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method
from tomoprior.projector import Projector
from tomoprior.projector.backends import Kind, choose_device
from tomoprior.running.estimate import Memory, estimate, needed

#: Rows of a slab are a multiple of this where memory allows: what lies in a shard of a Zarr volume.
ROWS = 32

#: Rows of a slab at most when no one asked for more: it is also what a crash costs. Slabs with a halo are at least so many
#: halos high, as the halo is work done twice.
MOST, HALOS = 96, 8

#: Share of the free memory that slabs may take.
SHARE = 0.8

#: Slabs per worker at least, where there are several: the last ones to end should not be waited for long.
PER_WORKER = 4

#: Arrays of their size that weights, initial volumes and masks take: themselves, and what is made of them.
GIVEN = 2

#: Bytes beside the estimate, for every byte of a slab's result: it is compressed while it is written.
WRITING = 0.5


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
        """Its own rows within those that it sees."""
        return slice(self.start - self.first, self.stop - self.first)


@dataclass(frozen=True)
class Plan:
    """All slabs of a run.

    Attributes
    ----------
    rows
        Of a slab; the last one has what is left.
    halo
        Rows that a slab sees beyond its own on either side, where there are such.
    blend
        Rows on either side of a border between two slabs over which one goes over into the other.
    workers
        Slabs at a time.
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
        """First rows of all slabs but the first, where neighbours are blended; none where they need not be."""
        return [slab.start for slab in self.slabs[1:]] if self.blend else []

    def tallest(self) -> Slab:
        """The slab that takes the most."""
        return max(self.slabs, key=lambda slab: slab.last - slab.first)


@dataclass(frozen=True)
class Cost:
    """Bytes of memory for each worker, seconds for all slabs, and bytes on the disk at the most."""

    memory: int
    seconds: float
    disk: int


def halo_rows(geometry: Geometry, method: Method, settings: Any) -> int:
    """Rows beyond its own that a slab has to see: what the method asks for, and shifts of the tilts along y.

    Raises
    ------
    InputError
        For a method that couples slices and does not say how far.
    """
    asked = getattr(method, "halo", None)
    if asked is None and method.couples_slices:
        raise InputError(f"{method.name} couples slices and does not say how far (halo): it cannot go slab by slab")
    rows: int = 0 if asked is None else int(asked(geometry, settings))
    if geometry.couples_slices and geometry.shifts is not None:
        rows += math.ceil(float(np.abs(geometry.shifts[:, 0]).max())) + 1
    return rows


def split_rows(geometry: Geometry, rows: int, halo: int, workers: int = 1) -> Plan:
    """The plan for slabs of ``rows``, at least as high as what is blended at both of its ends."""
    ny = geometry.shape[1]
    blend = halo // 2
    rows = min(ny, max(rows, 2 * blend, 1))
    starts = list(range(0, ny, rows))
    if len(starts) > 1 and ny - starts[-1] < 2 * blend:
        starts.pop()  # too thin to be blended: the one before takes it in
    stops = [*starts[1:], ny]
    slabs = tuple(
        Slab(i, a, b, max(0, a - halo), min(ny, b + halo)) for i, (a, b) in enumerate(zip(starts, stops, strict=True))
    )
    return Plan(slabs, rows, halo, blend, workers)


def choose_rows(geometry: Geometry, halo: int, needed: Callable[[int], int], budget: int, workers: int) -> int:
    """The highest slab that fits: ``needed(rows)`` bytes, of slab and halo together, within ``budget``.

    Raises
    ------
    InputError
        If not even the thinnest does.
    """
    ny = geometry.shape[1]
    blend = halo // 2
    wanted = max(MOST, HALOS * halo)
    if workers > 1:
        wanted = min(wanted, max(ROWS, -(-ny // (PER_WORKER * workers))))
    wanted = min(ny, -(-wanted // ROWS) * ROWS)

    def fits(rows: int) -> bool:
        # the last slab may have taken in a remainder
        return needed(min(ny, rows + 2 * halo + (2 * blend if rows < ny else 0))) <= budget

    least = max(1, 2 * blend)
    tried: list[int] = [wanted, *range(wanted // ROWS * ROWS, 0, -ROWS), *range(min(ROWS, wanted), least, -1), least]
    for rows in tried:
        if rows >= least and fits(rows):
            return rows
    raise InputError(
        f"a slab of {least} row(s) needs {memory.format_bytes(needed(min(ny, least + 2 * halo)))}, and there are "
        f"{memory.format_bytes(budget)} for each worker: use fewer workers, --bin, --backend astra-2d or a smaller --thickness"
    )


def plan_slabs(
    geometry: Geometry,
    method: Method,
    settings: Any,
    *,
    slab: int | Literal["auto"] = "auto",
    workers: int = 1,
    budget: int | None = None,
    given: int = 0,
    device: str = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
) -> Plan:
    """Cut a volume into slabs that fit into memory.

    Parameters
    ----------
    slab
        Rows of a slab without its halo; ``auto``: as many as fit, up to 96 or eight halos.
    workers
        Slabs at a time; each gets an equal share of the memory.
    budget
        Bytes in all; by default what is ``usable_memory`` here.
    given
        Bytes for each row of what is given besides: weights of pixels, an initial volume, a mask.

    Raises
    ------
    InputError
        If no slab fits, or the method cannot go slab by slab.
    """
    ny = geometry.shape[1]
    around = halo_rows(geometry, method, settings)
    if slab != "auto":
        if not int(slab) >= 1:
            raise InputError(f"a slab has at least one row, got {slab}")
        return split_rows(geometry, int(slab), around, workers)

    def taken(rows: int) -> int:
        part = geometry.rows(0, min(rows, ny))
        own = settings_for_rows(method, settings, range(part.shape[1]))
        return _running(part, needed(method, Projector(part, device, kind, backend), own)) + GIVEN * given * part.shape[1]

    each = (usable_memory(device) if budget is None else budget) // workers
    return split_rows(geometry, choose_rows(geometry, around, taken, each, workers), around, workers)


def estimate_cost(plan: Plan, geometry: Geometry, method: Method, settings: Any, projector: Projector) -> Cost:
    """What a plan takes; ``projector`` is that of its tallest slab."""
    part = projector.geometry
    settings = settings_for_rows(method, settings, range(part.shape[1]))
    one = estimate(method, projector, settings)
    prepared = projector.cost.seconds if method.uses_projector else 0.0
    rows = sum(slab.last - slab.first for slab in plan.slabs)
    seconds = (one.seconds - prepared) * rows / part.shape[1] / plan.workers + prepared
    volume = 4 * math.prod(geometry.shape)
    borders = len(plan.borders) * 4 * plan.blend * 4 * geometry.shape[0] * geometry.shape[2]
    return Cost(_running(part, one), seconds, volume + volume // 7 + borders)


def make_projector(at_work: Plan, geometry: Geometry, device: str, kind: Kind, backend: str) -> Projector:
    """That of the tallest slab, for what a run takes."""
    tallest = at_work.tallest()
    return Projector(geometry.rows(tallest.first, tallest.last), device, kind, backend)


def settings_for_rows(method: Method, settings: Any, rows: range) -> Any:
    """The settings of a slab that sees ``rows``."""
    asked = getattr(method, "settings_for_rows", None)
    return settings if asked is None else asked(settings, rows)


def usable_memory(device: str) -> int:
    """Bytes that slabs may take together."""
    chosen = choose_device(device)
    free: int = torch.cuda.mem_get_info(chosen)[0] if chosen.type == "cuda" else memory.available()
    return int(SHARE * free)


def _running(part: Geometry, one: Memory) -> int:
    """Bytes of a slab's run: what the method takes, and writing besides."""
    return one.memory + int(WRITING * 4 * math.prod(part.shape))
