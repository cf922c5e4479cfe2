"""What a comparison found, in sentences that say no more than the evidence does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from tomoprior.comparison.result import Entry, Ranking
from tomoprior.geometry import Geometry

#: A tilt is called bad if it sticks out with at least this share of the methods.
CONSENT = 0.5
#: An answer where nothing was put is worth a word from this share of the contrast on.
INVENTED = 0.25


def summary(entries: Sequence[Entry], rankings: Sequence[Ranking], geometry: Geometry, views: Sequence[int]) -> list[str]:
    """Sentences, the most important first.

    Parameters
    ----------
    views
        Number of each tilt in the user's file.
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
    gone = [f"{e.label} ({e.message})" for e in entries if e.volume is None]
    if not gone:
        return ""
    return f"No volume from {listed(gone)}: the comparison is among the others."


def _ranked(ranking: Ranking, done: Sequence[Entry]) -> str:
    first, *rest = ranking.groups
    figures = {e.label: _figure(e, ranking.by) for e in done}
    shown = [f"{label} ({figures[label]})" for label in first]
    if not rest:
        return f"By {ranking.by} no method can be told from the best: {listed(shown)}."
    together = "" if len(first) == 1 else ", which this does not tell apart"
    behind = [f"{label} ({figures[label]})" for group in rest for label in group]
    verb = "is" if len(first) == 1 else "are"
    return f"By {ranking.by} the best {verb} {listed(shown)}{together}; behind: {', '.join(behind)}."


def _figure(entry: Entry, by: str) -> str:
    if by.startswith("the truth"):
        return f"{entry.evidence['truth']['psnr']:.1f} dB"
    return f"error {100 * entry.evidence['held_out']['error']:.3g} %"


def _disagreement(rankings: Sequence[Ranking]) -> str:
    if len(rankings) < 2:
        return ""
    truth, tilts = rankings[0].groups[0], rankings[1].groups[0]
    if set(truth) & set(tilts):
        return ""
    return (
        f"The truth and the held-out tilts disagree on the best ({listed(truth)} and {listed(tilts)}): tilts judge only what "
        "they see, and not what lies in the missing wedge."
    )


def _planted(done: Sequence[Entry]) -> str:
    tested = [e for e in done if "planted" in e.evidence]
    if not tested:
        return ""
    found = {e.label: e.evidence["planted"] for e in tested}
    words = [f"{label} {p['found']} ({p['contrast']:.2f} of the contrast)" for label, p in found.items()]
    count = next(iter(found.values()))["of"]
    text = f"Of {count} small objects planted in the tilts, found where they were put: {', '.join(words)}."
    inventors = [f"{label} ({p['invented']:.2f})" for label, p in found.items() if p["invented"] > INVENTED]
    if inventors:
        text += f" The largest answer where nothing was put is notable with {listed(inventors)}."
    return text


def _inferred(done: Sequence[Entry]) -> str:
    shares = {e.label: e.evidence["inferred"]["share"] for e in done if "inferred" in e.evidence}
    if not shares:
        return ""
    low, high = min(shares, key=lambda k: shares[k]), max(shares, key=lambda k: shares[k])
    truth = next(iter(done)).evidence["inferred"]["truth_share"]
    text = f"In directions that no tilt measured lies {_percent(shares[low])} of the power with {low}"
    text += f", {_percent(shares[high])} with {high}" if high != low else ""
    text += f", {_percent(truth)} of the truth's" if truth is not None else ""
    return text + ": this part is inferred, however real it looks."


def _halves(done: Sequence[Entry], geometry: Geometry) -> str:
    crossings = {e.label: e.evidence["halves"]["present"]["crossing"] for e in done if "halves" in e.evidence}
    known = {label: f for label, f in crossings.items() if f}
    if not known:
        return ""
    # a curve that never falls below the threshold agrees as far as there are frequencies
    words = [f"{label} {geometry.voxel_size / f:.3g}{' or finer' if f >= 0.5 else ''}" for label, f in known.items()]
    return (
        f"Even and odd tilts agree (0.143, directions that were measured) down to, in {geometry.unit}s: {', '.join(words)}. "
        "A prior makes halves alike, so that this ranks no methods."
    )


def _agreement(done: Sequence[Entry]) -> str:
    means = {e.label: float(np.mean(list(e.evidence["agreement"].values()))) for e in done if e.evidence.get("agreement")}
    if len(means) < 3:
        return ""
    least = min(means, key=lambda k: means[k])
    return f"Voxel by voxel {least} agrees least with the others (mean correlation {means[least]:.2f})."


def _bad_tilts(done: Sequence[Entry], geometry: Geometry, views: Sequence[int]) -> str:
    bad = sorted(bad_tilts(done))
    if not bad:
        return ""
    degrees = np.rad2deg(geometry.angles)
    named = [f"{views[i]} ({degrees[i]:.1f} degrees)" for i in bad]
    numbers = ",".join(str(views[i]) for i in bad)
    plural = "Tilts" if len(bad) > 1 else "Tilt"
    verb = "do not fit" if len(bad) > 1 else "does not fit"
    return (
        f"{plural} {listed(named)} {verb} with the others: look at {'them' if len(bad) > 1 else 'it'}, or --exclude {numbers}."
    )


def bad_tilts(entries: Sequence[Entry]) -> list[int]:
    """Indices of tilts that stick out with at least ``CONSENT`` of those entries whose residuals are known, in no order."""
    known = [e.evidence["residual"] for e in entries if e.evidence.get("residual")]
    votes = Counter(int(i) for residual in known for i in residual.get("outliers", ()))
    return [i for i, n in votes.items() if n >= CONSENT * len(known)]


def listed(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _percent(share: float) -> str:
    return f"{100 * share:.2g} %"
