"""The angle of the tilt axis: where the step of the angle, at shifts that have converged, is zero."""

from __future__ import annotations

import numpy as np

from tomoprior.alignment.matching import Step
from tomoprior.alignment.rounds import Matcher, Pose

#: Angles of the first search, degrees from the nominal angle.
SEARCH = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0)
#: Largest extrapolation of a secant, radians, and the step at which the search ends.
REACH, CONVERGED = np.deg2rad(3.0), np.deg2rad(0.01)


def search_axis(matcher: Matcher, start: Pose, rounds: int) -> Pose:
    """Return the best of the angles around the start, by the residual after ``rounds`` rounds each, refined by secants."""
    tried = []
    for offset in np.deg2rad(SEARCH):
        pose, step = matcher.refine(start.turned(start.axis_angle + offset), rounds)
        tried.append((pose, step))
    best = min(range(len(tried)), key=lambda k: float(np.average(tried[k][1].residuals, weights=start.weights)))
    pose, step = tried[best]
    # the step points to the angle's right place: the neighbour on that side closes the bracket
    other = best + (1 if step.axis_angle > 0 else -1)
    if not 0 <= other < len(tried):
        return refine_axis(matcher, pose, rounds)
    return _secant(matcher, (pose, step), tried[other], rounds)


def refine_axis(matcher: Matcher, start: Pose, rounds: int, first: float = np.deg2rad(0.5)) -> Pose:
    """Return the angle near the start at which its step is zero, by secants from a first change of ``first`` radians."""
    here = matcher.refine(start, rounds)
    there = matcher.refine(here[0].turned(here[0].axis_angle + np.copysign(first, here[1].axis_angle)), rounds)
    return _secant(matcher, there, here, rounds)


def _secant(
    matcher: Matcher, latest: tuple[Pose, Step], earlier: tuple[Pose, Step], rounds: int, trials: int = 4
) -> Pose:
    """Return the angle where the line through the last two steps is zero, repeatedly."""
    for _ in range(trials):
        (pose, step), (other, other_step) = latest, earlier
        width = pose.axis_angle - other.axis_angle
        slope = (step.axis_angle - other_step.axis_angle) / width if width else 0.0
        if slope >= 0:  # no zero in sight: the angle is not determined
            return pose
        change = float(np.clip(-step.axis_angle / slope, -REACH, REACH))
        if abs(change) < CONVERGED:
            return pose
        earlier, latest = latest, matcher.refine(pose.turned(pose.axis_angle + change), rounds)
    return latest[0]
