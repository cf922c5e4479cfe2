"""An order that the evidence supports: methods that it cannot tell apart share a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import ttest_rel

from tomoprior.comparison.result import Ranking

#: Probability that a difference between equal methods counts as real, for all comparisons of a ranking together.
LEVEL = 0.05
#: Differences that vary less than this, relative to their mean, count as equal.
ROUNDING = 1e-12

Squares = Sequence[float]


def is_worse(worse: Squares, better: Squares, comparisons: int = 1) -> bool:
    """Return whether the squared errors of one method are larger beyond chance.

    This is a paired one-sided t-test at ``LEVEL`` with Bonferroni's correction.

    Parameters
    ----------
    worse, better
        Squared errors of two methods on the same tilts, or blocks of slices.
    comparisons
        Number of comparisons in all.
    """
    a, b = np.asarray(worse, float), np.asarray(better, float)
    difference = a - b
    if len(difference) < 2:
        return False
    if np.ptp(difference) <= ROUNDING * np.abs(difference).max():
        return bool(difference.mean() > 0)
    return bool(ttest_rel(a, b, alternative="greater").pvalue < LEVEL / max(1, comparisons))


def rank(
    by: str,
    measure: str,
    units: str,
    squares: Mapping[str, Squares],
    bands: Mapping[str, Sequence[Squares]] | None = None,
) -> Ranking | None:
    """Return labels from best to worst in groups; None for fewer than two.

    A group ends where all remaining labels are worse than the group's best.

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
    left = sorted(squares, key=lambda label: float(np.mean(squares[label])))
    if len(left) < 2:
        return None
    comparisons = len(left) - 1
    conflicts: list[str] = []

    def is_behind(label: str, best: str) -> bool:
        if not is_worse(squares[label], squares[best], comparisons):
            return False
        if bands and any(is_worse(b, a) for a, b in zip(bands[label], bands[best], strict=True)):
            conflicts.append(f"{best} and {label}")
            return False
        return True

    groups: list[tuple[str, ...]] = []
    while left:
        behind = [is_behind(label, left[0]) for label in left]
        size = 1 + max(i for i, b in enumerate([False, *behind[1:]]) if not b)
        groups.append(tuple(left[:size]))
        left = left[size:]
    n = len(next(iter(squares.values())))
    reason = (
        f"Paired differences of squared errors over {n} {units}, Student's t at {100 * LEVEL:.0f} % for all {comparisons} "
        "comparisons together. Neighbouring ones share information, so a narrow lead is less sure than this says."
    )
    if conflicts:
        reason += f" Coarse and fine detail disagree, so that neither is ranked first: {', '.join(dict.fromkeys(conflicts))}."
    return Ranking(by, tuple(groups), reason, measure)
