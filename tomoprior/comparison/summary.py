"""The findings of a comparison, in sentences that claim no more than the evidence supports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tomoprior.comparison.result import Entry, Ranking
from tomoprior.geometry import Geometry
from tomoprior.units import volume_unit, voxel_edge

#: A tilt is called bad if it is an outlier for at least this share of the methods.
CONSENT = 0.5
#: A response without an object is mentioned if it exceeds this share of the contrast.
INVENTED = 0.25
#: A smaller share of the power in directions that no tilt measured is not mentioned.
NEGLIGIBLE = 1e-3
#: Methods whose mean correlation with the others is at least this agree.
ALIKE = 0.995


def summarize(entries: Sequence[Entry], rankings: Sequence[Ranking], geometry: Geometry, views: Sequence[int]) -> list[str]:
    """Return sentences, the most important first.

    Parameters
    ----------
    views
        The number of each tilt in the user's file.
    """
    done = [e for e in entries if e.volume is not None]
    parts = [
        _failed(entries),
        *(_ranked(r, done) for r in rankings),
        _disagreement(rankings),
        _planted(done),
        _inferred(done),
        _halves(done, geometry),
        _agreement(done),
        _bad_tilts(done, geometry, views),
    ]
    return [sentence for sentence in parts if sentence]


def _failed(entries: Sequence[Entry]) -> str:
    failed = [f"{e.label} ({e.message})" for e in entries if e.volume is None]
    if not failed:
        return ""
    return f"No volume from {join_words(failed)}. The comparison is between the others."


def _ranked(ranking: Ranking, done: Sequence[Entry]) -> str:
    first, *rest = ranking.groups
    figures = {e.label: _figure(e, ranking.by) for e in done}
    # the first figure has its unit, the others are without
    texts = [f"{k} ({_with_unit(figures[k], ranking.by) if k == first[0] else figures[k]})" for g in ranking.groups for k in g]
    best, behind = texts[: len(first)], texts[len(first) :]
    if not rest:
        return f"By {ranking.by} the methods cannot be ranked: {join_words(best)}."
    together = "" if len(first) == 1 else " This evidence cannot rank them."
    verb = "is" if len(first) == 1 else "are"
    return f"By {ranking.by} the best {verb} {join_words(best)}.{together} Behind: {', '.join(behind)}."


def _figure(entry: Entry, by: str) -> str:
    if by.startswith("the truth"):
        return f"{entry.evidence['truth']['psnr_fitted']:.1f}"
    return f"{100 * entry.evidence['held_out']['error']:.3g}"


def _with_unit(figure: str, by: str) -> str:
    return f"{figure} dB" if by.startswith("the truth") else f"error {figure} %"


def _disagreement(rankings: Sequence[Ranking]) -> str:
    if len(rankings) < 2:
        return ""
    truth, tilts = rankings[0].groups[0], rankings[1].groups[0]
    if set(truth) & set(tilts):
        return ""
    return (
        f"The truth and the held-out tilts disagree on the best: {join_words(truth)} and {join_words(tilts)}. Held-out tilts "
        "say nothing about the missing wedge."
    )


def _planted(done: Sequence[Entry]) -> str:
    tested = [e for e in done if "planted" in e.evidence]
    if not tested:
        return ""
    results = {e.label: e.evidence["planted"] for e in tested}
    words = [f"{label} {p['found']} ({p['contrast']:.2f})" for label, p in results.items()]
    count = next(iter(results.values()))["of"]
    text = f"{count} small objects were added to the tilts. So many are shown (share of the contrast): {', '.join(words)}."
    inventors = [f"{label} ({p['invented']:.2f})" for label, p in results.items() if p["invented"] > INVENTED]
    if inventors:
        text += f" Strong responses where there is no object: {', '.join(inventors)}."
    return text


def _inferred(done: Sequence[Entry]) -> str:
    shares = {e.label: e.evidence["inferred"]["share"] for e in done if "inferred" in e.evidence}
    if not shares or max(shares.values()) < NEGLIGIBLE:  # tilts over the full range leave no direction out
        return ""
    low, high = min(shares, key=lambda k: shares[k]), max(shares, key=lambda k: shares[k])
    truth = next(iter(done)).evidence["inferred"]["truth_share"]
    text = f"Power in directions that no tilt measured: {low} {_percent(shares[low])}"
    text += f", {high} {_percent(shares[high])}" if high != low else ""
    text += f", the truth {_percent(truth)}" if truth is not None else ""
    return text + ". This part is inferred, even if it looks real."


def _halves(done: Sequence[Entry], geometry: Geometry) -> str:
    crossings = {e.label: e.evidence["halves"]["present"]["crossing"] for e in done if "halves" in e.evidence}
    known = {label: f for label, f in crossings.items() if f is not None}
    if not known:
        return ""
    edge = voxel_edge(geometry.voxel_size, geometry.unit)
    words = [f"{label} {_resolution(edge, f)}" for label, f in known.items()]
    return (
        f"Even and odd tilts agree in measured directions down to ({volume_unit(geometry.unit)}): {', '.join(words)}. "
        "This ranks no methods: a prior makes both halves alike."
    )


def _agreement(done: Sequence[Entry]) -> str:
    means = {e.label: float(np.mean(list(e.evidence["agreement"].values()))) for e in done if e.evidence.get("agreement")}
    if len(means) < 3:
        return ""
    least = min(means, key=lambda k: means[k])
    if means[least] >= ALIKE:
        return f"All methods agree (mean correlation at least {ALIKE:g} voxel by voxel)."
    return f"{least} agrees least with the other methods (mean correlation {means[least]:.2f} voxel by voxel)."


def _bad_tilts(done: Sequence[Entry], geometry: Geometry, views: Sequence[int]) -> str:
    bad = sorted(find_bad_tilts(done))
    if not bad:
        return ""
    degrees = np.rad2deg(geometry.angles)
    named = [f"{views[i]} ({degrees[i]:.1f} degrees)" for i in bad]
    numbers = ",".join(str(views[i]) for i in bad)
    plural = "Tilts" if len(bad) > 1 else "Tilt"
    verb = "do not fit" if len(bad) > 1 else "does not fit"
    what = "them" if len(bad) > 1 else "it"
    return f"{plural} {join_words(named)} {verb} with the others: look at {what}, or --exclude {numbers}."


def find_bad_tilts(entries: Sequence[Entry]) -> list[int]:
    """Return the indices of tilts that are outliers for at least ``CONSENT`` of the entries with residuals, in no order."""
    known = [e.evidence["residual"] for e in entries if e.evidence.get("residual")]
    votes = Counter(int(i) for residual in known for i in residual.get("outliers", ()))
    return [i for i, n in votes.items() if n >= CONSENT * len(known)]


def join_words(words: Sequence[str]) -> str:
    """Return ``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _resolution(edge: float, crossing: float) -> str:
    if crossing == 0:
        return "nowhere"
    return f"{edge / crossing:.3g}{' or finer' if crossing >= 0.5 else ''}"  # at 0.5 the frequencies end


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
