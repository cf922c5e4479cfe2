"""Collect the results of all candidates into the entries of a comparison, and rank them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evidence.agreement import agreement
from tomoprior.comparison.evidence.inferred import inferred_share
from tomoprior.comparison.evidence.truth import against_truth
from tomoprior.comparison.ranking import rank
from tomoprior.comparison.result import Entry, Ranking
from tomoprior.comparison.shared import CHECKS, SharedInput
from tomoprior.comparison.store import Store
from tomoprior.metrics.matching import Match


def make_entries(
    shared: SharedInput,
    outcomes: list[tuple[Candidate, Store, dict[str, Any]]],
    truth: NDArray[np.float32] | None,
    match: Match,
) -> list[Entry]:
    """Return an entry per candidate: its stored results, and its agreement with the truth and with the other volumes."""
    entries = []
    truth_share = None if truth is None else inferred_share(truth, shared.series.geometry)
    for candidate, store, outcome in outcomes:
        entry = Entry(
            candidate.label, candidate.method.name,
            outcome.get("settings", candidate.settings.model_dump(mode="json")),
            status=outcome["status"], message=outcome["message"], seconds=outcome["seconds"],
        )  # fmt: skip
        reconstruction = store.get("reconstruction")
        evidence: dict[str, Any] = {}
        tuned = store.get("tuned")
        if tuned is not None:
            evidence["tuned"] = tuned
        if reconstruction is not None:
            volume = store.array("volume")
            evidence["residual"] = reconstruction["residual"]
            evidence["inferred"] = {"share": inferred_share(volume, shared.series.geometry), "truth_share": truth_share}
            for name in CHECKS:
                check = store.get(name)
                if check is not None:
                    evidence[name] = check["value"]
            if truth is not None:
                evidence["truth"] = against_truth(volume, truth, shared.series.geometry, match)
            entry = replace(
                entry,
                volume=volume,
                std=store.array("std") if reconstruction["std"] else None,
                response=store.array("response") if "planted" in evidence else None,
                settled=_find_settled(entry.settings, reconstruction["provenance"]),
                memory=reconstruction["memory"],
                notes=(*_note_transfer(shared, candidate), *map(str, reconstruction["provenance"].get("statement", ()))),
            )
        entries.append(replace(entry, evidence=evidence))
    pairs = agreement({e.label: e.volume for e in entries if e.volume is not None})
    return [replace(e, evidence={**e.evidence, "agreement": pairs[e.label]}) if pairs.get(e.label) else e for e in entries]


def _find_settled(settings: Mapping[str, Any], provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the run chose: settings that it recorded with another value, as ``pad="auto"``, and its own record."""
    recorded = provenance.get("settings", {})
    changed = {name: recorded[name] for name, value in settings.items() if recorded.get(name, value) != value}
    return {**changed, **provenance.get("settled", {})}


def _note_transfer(shared: SharedInput, candidate: Candidate) -> tuple[str, ...]:
    """Return a note on what the method made of the transfer function of the series, if it has one."""
    if shared.series.transfer is None:
        return ()
    if shared.for_method(candidate.method).models_transfer:
        return ("the transfer function of the microscope is in the model",)
    return ("images with flipped phases: the method cannot use the transfer function of the microscope",)


def make_rankings(entries: list[Entry]) -> list[Ranking]:
    """Return the ranking by the truth, if there is one, and the ranking by held-out tilts; each needs two methods."""
    truth = {e.label: e.evidence["truth"]["blocks"] for e in entries if "truth" in e.evidence}
    tilts = {e.label: e.evidence["held_out"]["squares"] for e in entries if "held_out" in e.evidence}
    bands = {e.label: e.evidence["held_out"]["bands"] for e in entries if "held_out" in e.evidence}
    rankings = [
        rank("the truth (RMSE, scale and offset fitted)", "truth.rmse_fitted", "blocks of slices", truth),
        rank("prediction of held-out tilts", "held_out.error", "tilts", tilts, bands),
    ]
    return [ranking for ranking in rankings if ranking is not None]
