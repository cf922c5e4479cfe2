"""Judge an alignment: find bad tilts, and describe what the data do not determine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Degree of the polynomial that residuals follow over the angles.
DEGREE = 4
#: Excess over the smooth course from which a tilt is bad, in robust standard deviations; and the smallest spread, as a share of
#: the residuals.
EXCESS, LEAST_SPREAD = 6.0, 0.05
#: Residual above which a reprojection explains nothing of the images.
UNEXPLAINED = 0.97
#: Range of tilts in degrees below which a movement along z, and the angle of the axis, are not determined. Over 20 degrees, the
#: fit turned the axis of a section of tissue by ten degrees.
NARROW = 30.0
#: Median of the relative precision below which images have no contrast in some direction.
NO_CONTRAST = 1e-6


def rate_tilts(residuals: NDArray[np.float64], angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the excess of each tilt's residual over a smooth course, in robust standard deviations, shape ``(n,)``.

    The course is a polynomial over the angles, fitted twice: the second time without the highest residuals.
    """
    x = angles / max(float(np.abs(angles).max()), 1e-12)
    keep = np.ones(len(x), bool)
    for _ in range(2):
        degree = min(DEGREE, int(keep.sum()) - 1)
        excess = residuals - np.polynomial.Polynomial.fit(x[keep], residuals[keep], degree)(x)
        spread = 1.4826 * float(np.median(np.abs(excess - np.median(excess))))
        keep = excess < np.median(excess) + 3 * max(spread, 1e-12)
    return np.asarray(excess / max(spread, LEAST_SPREAD * float(np.median(residuals)), 1e-12))


def weigh_tilts(excess: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return weights from 0 to 1 from the excess of the residuals: 1 up to half of ``EXCESS``, 1/4 at ``EXCESS``, then less."""
    ratio = np.maximum(np.maximum(excess, 0) / (EXCESS / 2), 1.0)
    return np.asarray(ratio**-2.0)


def find_bad_tilts(excess: NDArray[np.float64]) -> tuple[int, ...]:
    """Return the tilts whose excess is ``EXCESS`` or more, counted from 0."""
    return tuple(int(i) for i in np.flatnonzero(excess >= EXCESS))


def describe_determination(
    angles: NDArray[np.float64], residuals: NDArray[np.float64], precision: NDArray[np.float64]
) -> list[str]:
    """Return lines for the user about what the data do not determine.

    There is no line if they determine everything but the place of the volume.

    Parameters
    ----------
    angles
        Radians, shape ``(n,)``.
    residuals, precision
        Results of the last step, shape ``(n,)``; see ``matching.Step``.
    """
    if len(np.unique(angles)) < 3:
        return [f"alignment is not determined: {len(np.unique(angles))} angle(s), and at least three are necessary"]
    if not np.median(precision) > NO_CONTRAST:
        return ["alignment is not determined: the images have no contrast"]
    if float(np.median(residuals)) > UNEXPLAINED:
        return ["alignment is not determined: no volume explains the images (wrong angles, or noise only)"]
    lines = []
    span = float(np.rad2deg(np.ptp(angles)))
    if span < NARROW:
        lines.append(
            f"shifts that move the volume along z are not determined by tilts over {span:.3g} degrees: they are set to zero"
        )
        lines.append(f"the angle of the tilt axis is not determined by tilts over {span:.3g} degrees: it is left as given")
    return lines
