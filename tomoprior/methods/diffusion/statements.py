"""Statements for the user about what the tilts determine and what the prior infers."""

from __future__ import annotations

import math

import numpy as np

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.section import Section

INFERRED = (
    "what no tilt measured - the missing wedge, the gaps between tilts, detail below their noise - is inferred from the tissue "
    "that the prior was trained on; the standard deviation shows how far such tissue may differ there, not whether the "
    "specimen is such tissue"
)

#: Squared residual over its expectation above which the prior does not fit the specimen. On tissue of the prior's kind it is
#: 1.0 to 1.3, on an inorganic needle 4.
LARGEST_MISFIT = 1.7


def write_statements(
    geometry: Geometry,
    determined: dict[str, float],
    tilt_weights: list[float],
    lacks_std: bool,
    section: Section,
    misfit_per_ray: float = 1.0,
) -> list[str]:
    """Return sentences about what the tilts determine, where the section lies, and what does not fit.

    Parameters
    ----------
    determined
        The three numbers of ``summarise_determined_share``.
    lacks_std
        True if the result has no standard deviation.
    misfit_per_ray
        Squared residual per ray, in units of the expected noise.
    """
    degrees = np.rad2deg(geometry.angles)
    size, unit = geometry.voxel_size, geometry.unit

    def describe_finest(axis: str) -> str:
        voxels = determined[f"finest_{axis}"]
        return f"structure coarser than {voxels * size:.3g} {unit}" if voxels else "no structure"

    power = f"{100 * determined['power']:.0f} % of the structure's power"
    lines = [
        f"{geometry.n_angles} tilts over {np.ptp(degrees):.4g} degrees determine {power}: along x {describe_finest('x')}, "
        f"along z (the beam) {describe_finest('z')}; the rest is inferred from the prior's tissue, not measured"
    ]
    lines.append(_describe_section(section, size, unit))
    if discounted := [i for i, weight in enumerate(tilt_weights) if weight < 0.2]:
        tilts = ", ".join(f"{i} ({degrees[i]:.1f} deg)" for i in discounted)
        lines.append(f"tilt(s) {tilts} do not agree with the others and have little weight")
    if misfit_per_ray > LARGEST_MISFIT:
        factor = math.sqrt(misfit_per_ray)
        lines.append(
            f"the result misses the tilts by {misfit_per_ray:.1f} times the noise's variance: the specimen is not of the "
            "prior's kind, or the tilts are not aligned; the standard deviation was multiplied by "
            f"{factor:.1f} (adapt=20 may help)"
        )
    if lacks_std:
        lines.append("fewer than two samples give no standard deviation; take samples=8 to see what is uncertain")
    return lines


def _describe_section(section: Section, size: float, unit: str) -> str:
    """Return a sentence about the section's faces and the source of this knowledge."""
    low, high = (face * size for face in section.faces)
    where = f"at {low:.3g} and {high:.3g} {unit} along z"
    within = f"+-{section.face_std * size:.2g} {unit}"
    if section.source == "given":
        return f"the section's faces are set by the user, {where}"
    if section.source == "found":
        convention = "where they do not determine its height, the middle of the grid is assumed by convention"
        return f"the tilts place the section's faces {where}, {within}; {convention}"
    return f"the tilts are too few to find the section's faces: they are assumed {where}, {within}"
