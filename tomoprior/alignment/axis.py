"""Search for the angle of the tilt axis: compare the residuals after some rounds of matching at each of a few angles."""

from __future__ import annotations

import numpy as np

from tomoprior.alignment.rounds import Matcher, Pose
from tomoprior.methods.solving.strength import parabola_minimum

#: Angles of the search, degrees from the nominal angle.
SEARCH = (-12.0, -8.0, -4.0, 0.0, 4.0, 8.0, 12.0)


def search_axis(matcher: Matcher, start: Pose, rounds: int) -> Pose:
    """Return the pose with the lowest residual among angles around the start; a parabola finds the angle between them."""
    offsets = np.deg2rad(SEARCH)
    tried = [matcher.refine(start.turned(start.axis_angle + offset), rounds, rough=True) for offset in offsets]
    residuals = [float(np.average(step.residuals, weights=start.weights)) for _, step in tried]
    best = int(np.argmin(residuals))
    pose = tried[best][0]
    steps = parabola_minimum(residuals) - best
    return pose.turned(pose.axis_angle + steps * float(offsets[1] - offsets[0])) if steps else pose
