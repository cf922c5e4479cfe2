"""An order that the evidence supports: methods that it cannot tell apart share a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
from scipy.stats import ttest_rel

from tomoprior.comparison.result import Ranking

#: Probability that methods that are equal get an order, for all pairs of a ranking together.
LEVEL = 0.05
#: Differences that vary less than this, relative to their size, count as equal.
ROUNDING = 1e-12

Squares = Sequence[float]
Pair = tuple[str, str]


def p_value(worse: Squares, better: Squares) -> float:
    """Return the probability that chance alone makes one method that much worse: paired one-sided t-test.

    Parameters
    ----------
    worse, better
        Squared errors of two methods on the same tilts, or blocks of slices.

    Returns
    -------
    float
        1 for a single pair, which proves nothing; 0 or 1 if all differences are the same.
    """
    a, b = np.asarray(worse, float), np.asarray(better, float)
    difference = a - b
    if len(difference) < 2:
        return 1.0
    if np.ptp(difference) <= ROUNDING * np.abs(difference).max():
        return 0.0 if difference.mean() > 0 else 1.0
    return float(ttest_rel(a, b, alternative="greater").pvalue)


def find_ordered_pairs(squares: Mapping[str, Squares]) -> set[Pair]:
    """Return all pairs (better, worse) whose order is beyond chance.

    All pairs are tested in both directions, and Holm's correction (Scand. J. Stat. 6 (1979) 65) keeps the probability of any
    wrong order below ``LEVEL``: the smallest of n values counts below LEVEL / n, the next below LEVEL / (n - 1), and so on to
    the first failure.
    """
    order = sorted(squares, key=lambda label: float(np.mean(squares[label])))
    values = sorted((2 * p_value(squares[worse], squares[better]), better, worse) for better, worse in combinations(order, 2))
    pairs: set[Pair] = set()
    for i, (p, better, worse) in enumerate(values):
        if p >= LEVEL / (len(values) - i):
            break
        pairs.add((better, worse))
    return pairs


def rank(
    by: str,
    measure: str,
    units: str,
    squares: Mapping[str, Squares],
    bands: Mapping[str, Sequence[Squares]] | None = None,
) -> Ranking | None:
    """Return labels from best to worst in groups; None for fewer than two.

    All pairs from different groups are ordered beyond chance. Within a group some pairs may be too: ``Ranking.pairs`` has all.

    Parameters
    ----------
    by, measure
        As in ``Ranking``.
    units
        The unit of the paired errors in words: ``tilts``.
    squares
        Squared errors by label, on the same tilts or blocks.
    bands
        Squared errors by label for each band of detail. A method counts as worse only if it is better in no band.
    """
    if len(squares) < 2:
        return None
    ordered = find_ordered_pairs(squares)
    conflicts = {pair for pair in ordered if bands and _is_better_somewhere(bands[pair[1]], bands[pair[0]])}
    ordered -= conflicts
    labels = sorted(squares, key=lambda label: float(np.mean(squares[label])))
    groups: list[tuple[str, ...]] = []
    start = 0
    for end in range(1, len(labels) + 1):
        if all((a, b) in ordered for a in labels[:end] for b in labels[end:]):
            groups.append(tuple(labels[start:end]))
            start = end
    n = len(next(iter(squares.values())))
    reason = (
        f"Paired differences of squared errors over {n} {units}, Student's t with Holm's correction: {100 * LEVEL:.0f} % for "
        "all pairs together. Neighbouring ones share information, so a narrow lead is less sure than this says."
    )
    if conflicts:
        names = ", ".join(" and ".join(pair) for pair in sorted(conflicts))
        reason += f" Coarse and fine detail disagree, so that neither is ranked first: {names}."
    pairs = tuple((a, b) for a, b in combinations(labels, 2) if (a, b) in ordered)
    return Ranking(by, tuple(groups), reason, measure, pairs)


def _is_better_somewhere(bands: Sequence[Squares], others: Sequence[Squares]) -> bool:
    return any(p_value(theirs, own) < LEVEL for own, theirs in zip(bands, others, strict=True))
