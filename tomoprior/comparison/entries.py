"""From what the contestants left to the entries of a comparison, and the order that these support."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.comparison.candidates import Candidate
from tomoprior.comparison.evidence.agreement import agreement
from tomoprior.comparison.evidence.inferred import inferred_share
from tomoprior.comparison.evidence.truth import against_truth
from tomoprior.comparison.ranking import ranking
from tomoprior.comparison.result import Entry, Ranking
from tomoprior.comparison.shared import CHECKS, SharedInput
from tomoprior.comparison.store import Store
from tomoprior.metrics.matching import Match


def entries(
    arena: SharedInput,
    outcomes: list[tuple[Candidate, Store, dict[str, Any]]],
    truth: NDArray[np.float32] | None,
    match: Match,
) -> list[Entry]:
    """Of each contestant what it has kept in its store, held against the truth and against the others."""
    made = []
    truth_share = None if truth is None else inferred_share(truth, arena.series.geometry)
    for one, store, outcome in outcomes:
        entry = Entry(
            one.label, one.method.name, outcome.get("settings", one.settings.model_dump(mode="json")),
            status=outcome["status"], message=outcome["message"], seconds=outcome["seconds"],
        )  # fmt: skip
        kept = store.get("reconstruction")
        evidence: dict[str, Any] = {}
        tuned = store.get("tuned")
        if tuned is not None:
            evidence["tuned"] = tuned
        if kept is not None:
            volume = store.array("volume")
            evidence["residual"] = kept["residual"]
            evidence["inferred"] = {"share": inferred_share(volume, arena.series.geometry), "truth_share": truth_share}
            for name in CHECKS:
                check = store.get(name)
                if check is not None:
                    evidence[name] = check["value"]
            if truth is not None:
                evidence["truth"] = against_truth(volume, truth, arena.series.geometry, match)
            provenance = kept["provenance"]
            entry = replace(
                entry,
                volume=volume,
                std=store.array("std") if kept["std"] else None,
                memory=kept["memory"],
                notes=tuple(map(str, provenance.get("statement", ()))),
            )
        made.append(replace(entry, evidence=evidence))
    pairs = agreement({e.label: e.volume for e in made if e.volume is not None})
    return [replace(e, evidence={**e.evidence, "agreement": pairs[e.label]}) if pairs.get(e.label) else e for e in made]


def rankings(entries: list[Entry]) -> list[Ranking]:
    """By the truth, where there is one, and by held-out tilts; each where at least two methods have the evidence."""
    truth = {e.label: e.evidence["truth"]["blocks"] for e in entries if "truth" in e.evidence}
    tilts = {e.label: e.evidence["held_out"]["squares"] for e in entries if "held_out" in e.evidence}
    found = [
        ranking("the truth (RMSE)", "truth.rmse", "blocks of slices", truth),
        ranking("prediction of held-out tilts", "held_out.error", "tilts", tilts),
    ]
    return [r for r in found if r is not None]
