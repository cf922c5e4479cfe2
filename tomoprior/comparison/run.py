"""Several methods on one tilt series, each with the evidence for it."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.comparison import evaluation, isolation
from tomoprior.comparison.arguments import mask_to_compare, select_checks, series_to_compare, truth_to_compare
from tomoprior.comparison.candidates import Candidate, make_candidates
from tomoprior.comparison.entries import entries, rankings
from tomoprior.comparison.evaluation import Evaluation
from tomoprior.comparison.evidence.agreement import voxel_spread
from tomoprior.comparison.evidence.planted import place
from tomoprior.comparison.outputs import DATA, at_work, written
from tomoprior.comparison.result import Comparison
from tomoprior.comparison.shared import CHECKS, FEWEST, SharedInput, ordered
from tomoprior.comparison.store import Store
from tomoprior.comparison.summary import summary
from tomoprior.errors import InputError, SettingsError
from tomoprior.formats import read_volume
from tomoprior.methods.base import Method
from tomoprior.metrics.matching import Match
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.arguments import to_series, to_volume
from tomoprior.running.in_memory import package_versions, reconstruct_in_memory
from tomoprior.series import TiltSeries

#: Label, stage, iteration, iterations: called once an iteration, at most.
CompareProgress = Callable[[str, str, int, int], None]

DEFAULT = ("wbp", "sirt", "tv", "cn")


def compare(
    series: TiltSeries | str | Path,
    methods: Iterable[str | Method] = DEFAULT,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    truth: ArrayLike | Reconstruction | str | Path | None = None,
    match: Match = "none",
    tune: bool = False,
    budget: float | None = None,
    checks: Iterable[str] = CHECKS,
    mask: ArrayLike | str | Path | None = None,
    out: str | Path | None = None,
    volumes: Literal["mrc", "zarr"] | None = None,
    title: str | None = None,
    device: str = "auto",
    kind: Kind = "linear",
    backend: str = "auto",
    seed: int = 0,
    isolate: bool = True,
    about: Mapping[str, Any] | None = None,
    progress: CompareProgress | None = None,
) -> Comparison:
    """Compare methods on the same projections, geometry, mask and grid, with or without a truth.

    Parameters
    ----------
    series
        The tilt series, or a file that ``tomoprior.read`` reads; loaded into memory.
    methods
        Names that ``tomoprior.methods.available()`` lists, or method objects. ``label=name`` lets a method take part twice.
    settings
        By label: ``{"cn": {"num_iter": 200}}``. What is not given is the method's default.
    truth
        Shape ``geometry.shape``: an array, or a Reconstruction or the file of one, whose voxel size is compared too.
    match
        What of a volume is fitted to the truth before values are compared, see ``tomoprior.metrics.match_scale``.
    tune
        Choose one or two settings of each method by held-out tilts first; those that are given stay.
    budget
        Seconds for each method, its checks included.
    checks
        Of ``held_out`` (predict every fifth tilt), ``planted`` (small objects added to the tilts) and ``halves`` (even against
        odd tilts): those to make. They take one, one and two more reconstructions.
    mask
        0 and 1, shape ``geometry.shape`` or ``(nz, nx)``, or such a file: outside, volumes are zero.
    out
        Folder for the report and what lies beside it. What is done there already, for the same data and settings, is not done
        again: after an interruption the same call goes on, and with another method only that one is run.
    volumes
        Write the volumes too, as ``OUT/volumes/LABEL.mrc`` or ``.zarr``.
    title
        Of the report; by default the name of the series' file.
    device, kind, backend, seed
        As in ``tomoprior.reconstruct``, the same for all.
    isolate
        Run each method in a process of its own (those given by name): one that crashes or hangs harms no other, and its memory
        is measured. False: here, one after the other.
    about
        More to tell in the report: plain values, such as ``command``.
    progress
        Called with label, stage, iteration and number of iterations.

    Returns
    -------
    Comparison
        An entry a method, also for one that failed or ran out of its budget.

    Raises
    ------
    UnknownNameError, SettingsError, InputError, OutputExistsError, FormatError
        One line that says what is wrong, before any work.
    KeyboardInterrupt
        On Ctrl-C. With ``out``, what is done is kept.
    """
    started = time.monotonic()
    chosen = make_candidates(methods, settings)
    if budget is not None and not budget > 0:
        raise SettingsError(f"the budget must be a positive number of seconds, got {budget!r}")
    wanted = select_checks(checks)
    series = series_to_compare(to_series(series))
    if isinstance(truth, str | Path):
        truth = read_volume(truth)
    known = None if truth is None else truth_to_compare(truth, series.geometry)
    inside = mask_to_compare(to_volume(mask), series.geometry)
    name = title or Path(str(series.metadata.get("source", "tilt series"))).name
    with _folder(out, volumes) as folder:
        arena, made, left_out = _arena(series, wanted, inside, device, kind, backend, seed)
        outcomes = _contests(arena, chosen, made, folder, tune=tune, budget=budget, isolate=isolate, progress=progress)
        found = entries(arena, outcomes, known, match)
        done = {e.label: e for e in found if e.volume is not None}
        shared = None
        if len(done) > 1:
            fits = {k: tuple(e.evidence["residual"]["calibration"]) for k, e in done.items()}
            shared = voxel_spread({k: e.volume for k, e in done.items() if e.volume is not None}, fits)
        ranked = rankings(found)
        views = [int(v) for v in series.views] if series.views is not None else list(range(series.geometry.n_angles))
        result = Comparison(
            title=name,
            geometry=series.geometry,
            entries=tuple(found),
            truth=known,
            planted=arena.planted if "planted" in made else None,
            spread=shared,
            rankings=tuple(ranked),
            summary=tuple(summary(found, ranked, series.geometry, views)),
            about={
                "input": {k: v for k, v in series.metadata.items() if isinstance(v, str | int | float | bool)},
                "versions": package_versions(),
                "seed": seed,
                "checks": list(made),
                "left_out": left_out,
                "tuned": tune,
                "budget": budget,
                "match": match if known is not None else None,
                "views": views,
                "seconds": time.monotonic() - started,
                **(about or {}),
            },
        )
        if out is not None:
            written(result, Path(out), volumes)
    return result


def _arena(
    series: TiltSeries,
    wanted: tuple[str, ...],
    inside: NDArray[np.float32] | None,
    device: str,
    kind: Kind,
    backend: str,
    seed: int,
) -> tuple[SharedInput, tuple[str, ...], dict[str, str]]:
    """The arena, the checks that can be made in it, and why others cannot."""
    arena = SharedInput(series, inside, None, str(device), kind, backend, seed)
    tilts, left_out = len(ordered(series)), {}
    for name in wanted:
        if tilts < FEWEST[name]:
            left_out[name] = f"{tilts} tilts are too few: it takes {FEWEST[name]}"
    if "planted" in wanted and "planted" not in left_out:
        objects = place(series.geometry, _contrast(arena), inside, seed)
        if objects is None:
            left_out["planted"] = "the grid has no room for test objects that every tilt sees"
        arena = replace(arena, planted=objects)
    return arena, tuple(name for name in wanted if name not in left_out), left_out


def _contrast(arena: SharedInput) -> float:
    """Height of what stands out: the 99th percentile of ``|x - median|`` after 5 CGLS iterations, as for ``tv``'s strength."""
    from tomoprior import methods

    cgls = methods.get("cgls")
    unweighted = replace(arena.series, weights=None)
    volume = reconstruct_in_memory(
        unweighted, cgls, cgls.Settings.parse({"num_iter": 5}), device=arena.device, backend=arena.backend
    ).volume
    height = np.abs(volume - np.median(volume))
    found = float(np.percentile(height, 99)) or float(height.max())
    if found == 0:
        raise InputError("the projections are of an empty volume: there is nothing to compare")
    return found


def _contests(
    arena: SharedInput,
    chosen: list[Candidate],
    checks: tuple[str, ...],
    folder: Path,
    *,
    tune: bool,
    budget: float | None,
    isolate: bool,
    progress: CompareProgress | None,
) -> list[tuple[Candidate, Store, dict[str, Any]]]:
    """One after the other: each has the machine to itself."""
    own = arena.digest()
    found = []
    with tempfile.TemporaryDirectory(prefix=DATA, dir=folder) as shared:
        data = Path(shared)
        if isolate and any(c.registered for c in chosen):
            arena.save(data)
        for one in chosen:
            store = Store(folder / one.label, evaluation.digest(own, one, tune=tune))
            step = None if progress is None else partial(progress, one.label)
            if isolate and one.registered:
                outcome = isolation.run_in_process(data, one, store, checks, tune=tune, budget=budget, step=step)
            else:
                outcome = Evaluation(arena, one, store, checks, tune=tune, budget=budget, step=step).run()
            found.append((one, store, outcome))
    return found


@contextmanager
def _folder(out: str | Path | None, volumes: str | None) -> Iterator[Path]:
    """Where the contestants keep what they have: in ``out``, or in a temporary folder."""
    if out is None:
        if volumes is not None:
            raise SettingsError("volumes: only with out=FOLDER, where they are written")
        with tempfile.TemporaryDirectory(prefix="tomoprior-compare-") as folder:
            yield Path(folder)
        return
    with at_work(Path(out)) as runs:
        yield runs
