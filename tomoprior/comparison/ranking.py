"""An order that the evidence supports: methods that it cannot tell apart share a place."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtrit

from tomoprior.comparison.result import Ranking

#: Two methods are told apart if there is this chance at most that the same errors come from equal ones, over all comparisons.
LEVEL = 0.05


def told_apart(worse: Sequence[float], better: Sequence[float], comparisons: int = 1) -> bool:
    """Whether the mean of the paired differences is beyond what chance gives: Student's t, one-sided, Bonferroni's correction.

    Parameters
    ----------
    worse, better
        Squared errors of two methods on the same tilts, or blocks of slices.
    comparisons
        That are made in all.
    """
    difference = np.asarray(worse, float) - np.asarray(better, float)
    n = len(difference)
    if n < 2:
        return False
    spread = float(difference.std(ddof=1))
    if spread == 0:
        return bool(difference.mean() > 0)
    t = float(difference.mean()) / (spread / np.sqrt(n))
    return bool(t > float(stdtrit(n - 1, 1 - LEVEL / max(1, comparisons))))


def ranking(by: str, measure: str, units: str, squares: Mapping[str, Sequence[float]]) -> Ranking | None:
    """Labels from best to worst in groups; None with fewer than two.

    Parameters
    ----------
    by, measure
        As ``Ranking`` has them.
    units
        What there is a squared error for each of, in words: ``tilts``.
    squares
        By label, one for each of the same tilts or blocks.
    """
    left = sorted(squares, key=lambda label: float(np.mean(squares[label])))
    if len(left) < 2:
        return None
    comparisons = len(left) - 1
    groups: list[tuple[str, ...]] = []
    while left:
        best = left[0]
        group = [best]
        for label in left[1:]:
            if told_apart(squares[label], squares[best], comparisons):
                break  # those behind it are worse still
            group.append(label)
        groups.append(tuple(group))
        left = left[len(group) :]
    n = len(next(iter(squares.values())))
    reason = (
        f"paired differences of squared errors over {n} {units}, Student's t at {100 * LEVEL:.0f} % for all {comparisons} "
        "comparisons together; neighbouring ones share information, so that a narrow lead is less sure than this says"
    )
    return Ranking(by, tuple(groups), reason, measure)
