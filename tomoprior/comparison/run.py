"""Compare several methods on one tilt series, each with the evidence for it."""

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

from tomoprior.comparison.arguments import mask_to_compare, select_checks, series_to_compare, truth_to_compare
from tomoprior.comparison.candidates import Candidate, make_candidates
from tomoprior.comparison.entries import make_entries, make_rankings
from tomoprior.comparison.evaluation import Evaluation, digest_candidate
from tomoprior.comparison.evidence.agreement import voxel_spread
from tomoprior.comparison.evidence.planted import place_objects
from tomoprior.comparison.result import Comparison, Entry
from tomoprior.comparison.shared import CHECKS, FEWEST, SharedInput, order_tilts
from tomoprior.comparison.store import DATA, Store, check_earlier_results, lock_folder, write_outputs
from tomoprior.comparison.subprocess_run import run_in_process
from tomoprior.comparison.summary import summarize
from tomoprior.errors import InputError, SettingsError
from tomoprior.formats import read_volume
from tomoprior.methods.arguments import check_rays
from tomoprior.methods.base import Method
from tomoprior.metrics.matching import Match
from tomoprior.projector import ProjectorOptions
from tomoprior.projector.backends import Kind
from tomoprior.reconstruction import Reconstruction
from tomoprior.running.arguments import to_series, to_volume
from tomoprior.running.doubts import warn_of_input
from tomoprior.running.in_memory import package_versions, reconstruct_in_memory
from tomoprior.series import TiltSeries

#: Called with label, stage, iteration and number of iterations, at most once per iteration.
CompareProgress = Callable[[str, str, int, int], None]

DEFAULT = ("wbp", "sirt", "tv", "cn")


def compare(
    series: TiltSeries | str | Path,
    methods: Iterable[str | Method] = DEFAULT,
    *,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    truth: ArrayLike | Reconstruction | str | Path | None = None,
    match: Match = "none",
    tune: bool = True,
    budget: float | None = None,
    checks: Iterable[str] = CHECKS,
    mask: ArrayLike | str | Path | None = None,
    out: str | Path | None = None,
    overwrite: bool = False,
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
        The tilt series, or a file that ``tomoprior.read`` reads. It is loaded into memory.
    methods
        Names that ``tomoprior.methods.available()`` lists, or method objects. ``label=name`` lets a method take part twice.
    settings
        Settings by label: ``{"cn": {"num_iter": 200}}``. Others keep the method's default.
    truth
        The true volume, shape ``geometry.shape``: an array, or a Reconstruction or the file of one, whose voxel size is
        checked too.
    match
        How scale and offset are fitted for the plain measures, see ``tomoprior.metrics.match_scale``. The ranking by the
        truth always fits both.
    tune
        Choose one or two settings by held-out tilts first, for each method that does not do so in every run, as ``sirt``,
        ``sart``, ``cgls`` and ``tv`` do. Settings that are given stay.
    budget
        Seconds for each method, including its checks.
    checks
        Checks to run: ``held_out`` (predict every fifth tilt), ``planted`` (small objects added to the tilts), ``halves``
        (even against odd tilts). They take one, one and two more reconstructions.
    mask
        Values 0 and 1, shape ``geometry.shape`` or ``(nz, nx)``, or a file of them. Volumes are zero where it is 0.
    out
        Folder for the report and its files. Parts that it already has for the same data and settings are kept: after an
        interruption the same call continues, and with one method more only that method runs.
    overwrite
        Replace results in ``out`` that belong to other data or settings, and a report on other methods.
    volumes
        Also write the volumes, as ``OUT/volumes/LABEL.mrc`` or ``.zarr``.
    title
        Title of the report; by default the name of the series' file.
    device, kind, backend, seed
        Arguments of ``tomoprior.reconstruct``, the same for all methods.
    isolate
        Run each method that is given by name in a process of its own: a method that crashes or hangs harms no other, and the
        memory is measured. False: run all in this process.
    about
        More facts for the report: plain values, such as ``command``. With ``notes``, a list of lines about the input, no
        warnings about its values are given.
    progress
        Called with label, stage, iteration and number of iterations.

    Returns
    -------
    Comparison
        One entry per method, also for a method that failed or exceeded its budget.

    Raises
    ------
    UnknownNameError, SettingsError, InputError, OutputExistsError, FormatError
        For wrong arguments, before any work. OutputExistsError: ``out`` holds other results and ``overwrite`` is not set.
    KeyboardInterrupt
        On Ctrl-C. With ``out``, finished parts are kept.
    """
    started = time.monotonic()
    candidates = make_candidates(methods, settings)
    if budget is not None and not budget > 0:
        raise SettingsError(f"the budget must be a positive number of seconds, got {budget!r}")
    wanted = select_checks(checks)
    series = to_series(series)
    for candidate in candidates:
        check_rays(candidate.method, series.geometry)
    if "notes" not in (about or {}):  # of a caller that has told them already
        warn_of_input(series)
    series = series_to_compare(series)
    if isinstance(truth, str | Path):
        truth = read_volume(truth)
    true_volume = None if truth is None else truth_to_compare(truth, series.geometry)
    inside = mask_to_compare(to_volume(mask), series.geometry)
    name = title or Path(str(series.metadata.get("source", "tilt series"))).name
    with _open_folder(out, volumes) as folder:
        shared, possible, left_out = _share_input(series, wanted, inside, ProjectorOptions(str(device), kind, backend), seed)
        digest = shared.digest()
        stores = {c.label: Store(folder / c.label, digest_candidate(digest, c, tune=tune)) for c in candidates}
        if overwrite:
            for store in stores.values():
                store.remove_others()
        elif out is not None:
            check_earlier_results(
                Path(out), {c.label: (stores[c.label], c.settings.model_dump(mode="json")) for c in candidates}
            )
        kept = {label: parts for label, store in stores.items() if (parts := store.finished_parts())}
        outcomes = _evaluate_all(
            shared, candidates, stores, possible, folder, tune=tune, budget=budget, isolate=isolate, progress=progress
        )
        entries = make_entries(shared, outcomes, true_volume, match)
        rankings = make_rankings(entries)
        views = [int(v) for v in series.views] if series.views is not None else list(range(series.geometry.n_angles))
        result = Comparison(
            title=name,
            geometry=series.geometry,
            entries=tuple(entries),
            truth=true_volume,
            planted=shared.planted if "planted" in possible else None,
            spread=_spread_between(entries),
            rankings=tuple(rankings),
            summary=tuple(summarize(entries, rankings, series.geometry, views)),
            about={
                "input": {k: v for k, v in series.metadata.items() if isinstance(v, str | int | float | bool)},
                **({"alignment": series.metadata["alignment"]} if "alignment" in series.metadata else {}),
                "versions": package_versions(),
                "seed": seed,
                "checks": list(possible),
                "left_out": left_out,
                "tuned": tune,
                "budget": budget,
                "match": match if true_volume is not None else None,
                "views": views,
                "kept": kept,
                "seconds": time.monotonic() - started,
                **(about or {}),
            },
        )
        if out is not None:
            write_outputs(result, Path(out), volumes)
    return result


def _share_input(
    series: TiltSeries,
    wanted: tuple[str, ...],
    inside: NDArray[np.float32] | None,
    options: ProjectorOptions,
    seed: int,
) -> tuple[SharedInput, tuple[str, ...], dict[str, str]]:
    """Return the shared input, the checks that are possible with it, and why the others are not."""
    shared = SharedInput(series, inside, None, options, seed)
    tilts, left_out = len(order_tilts(series)), {}
    for name in wanted:
        if tilts < FEWEST[name]:
            left_out[name] = f"{tilts} tilts are too few: it takes {FEWEST[name]}"
    if "planted" in wanted and "planted" not in left_out:
        objects = place_objects(series.geometry, _measure_contrast(shared), inside, seed)
        if objects is None:
            left_out["planted"] = "the grid has no room for test objects that every tilt sees"
        shared = replace(shared, planted=objects)
    return shared, tuple(name for name in wanted if name not in left_out), left_out


def _measure_contrast(shared: SharedInput) -> float:
    """Return the 99th percentile of ``|x - median|`` after 5 CGLS iterations, the same measure as for ``tv``'s strength."""
    from tomoprior import methods

    cgls = methods.get("cgls")
    unweighted = replace(shared.series, weights=None)
    volume = reconstruct_in_memory(unweighted, cgls, cgls.Settings.parse({"num_iter": 5}), shared.options).volume
    height = np.abs(volume - np.median(volume))
    contrast = float(np.percentile(height, 99)) or float(height.max())
    if contrast == 0:
        raise InputError("the projections are of an empty volume: there is nothing to compare")
    return contrast


def _evaluate_all(
    shared: SharedInput,
    candidates: list[Candidate],
    stores: Mapping[str, Store],
    checks: tuple[str, ...],
    folder: Path,
    *,
    tune: bool,
    budget: float | None,
    isolate: bool,
    progress: CompareProgress | None,
) -> list[tuple[Candidate, Store, dict[str, Any]]]:
    """Run the candidates one after the other, so that each has the whole machine."""
    outcomes = []
    with tempfile.TemporaryDirectory(prefix=DATA, dir=folder) as temporary:
        data = Path(temporary)
        if isolate and any(c.registered for c in candidates):
            shared.save(data)
        for candidate in candidates:
            store = stores[candidate.label]
            step = None if progress is None else partial(progress, candidate.label)
            if isolate and candidate.registered:
                outcome = run_in_process(data, candidate, store, checks, tune=tune, budget=budget, step=step)
            else:
                outcome = Evaluation(shared, candidate, store, checks, tune=tune, budget=budget, step=step).run()
            outcomes.append((candidate, store, outcome))
    return outcomes


def _spread_between(entries: list[Entry]) -> NDArray[np.float32] | None:
    """Return the standard deviation among the methods at each voxel, or None for fewer than two volumes."""
    volumes = {e.label: e.volume for e in entries if e.volume is not None}
    if len(volumes) < 2:
        return None
    fits = {e.label: tuple(e.evidence["residual"]["calibration"]) for e in entries if e.volume is not None}
    return voxel_spread(volumes, fits)


@contextmanager
def _open_folder(out: str | Path | None, volumes: str | None) -> Iterator[Path]:
    """Give the folder for the stores: in ``out``, or a temporary one."""
    if out is None:
        if volumes is not None:
            raise SettingsError("volumes: only with out=FOLDER, where they are written")
        with tempfile.TemporaryDirectory(prefix="tomoprior-compare-") as folder:
            yield Path(folder)
        return
    with lock_folder(Path(out)) as runs:
        yield runs
