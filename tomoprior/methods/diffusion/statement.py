"""What the tilts can and cannot know, in sentences for the user."""

from __future__ import annotations

import math

import numpy as np

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.section import KnownSection

INFERRED = (
    "what no tilt measured - the missing wedge, the gaps between tilts, detail below their noise - is inferred from the tissue "
    "that the prior was trained on; the samples' standard deviation says how far they agree there, not that it is so"
)


#: Squared residual over what is expected, from which on the prior does not fit the specimen: on tissue of its kind it is 1.0 to
#: 1.3, on an inorganic needle 4.
LARGEST_MISFIT = 1.7


def statement(
    geometry: Geometry,
    known: dict[str, float],
    trust: list[float],
    samples: int,
    section: KnownSection,
    misfit_per_ray: float = 1.0,
) -> list[str]:
    """What the tilts can and cannot know, in sentences for the user."""
    degrees = np.rad2deg(geometry.angles)
    size, unit = geometry.voxel_size, geometry.unit

    def finest(axis: str) -> str:
        voxels = known[f"finest_{axis}"]
        return f"structure coarser than {voxels * size:.3g} {unit}" if voxels else "no structure"

    power = f"{100 * known['power']:.0f} % of the structure's power"
    lines = [
        f"{geometry.n_angles} tilts over {np.ptp(degrees):.4g} degrees determine {power}: along x {finest('x')}, along z (the "
        f"beam) {finest('z')}; the rest is inferred from the prior's tissue, not measured"
    ]
    lines.append(_place(section, size, unit))
    if voteless := [i for i, v in enumerate(trust) if v < 0.2]:
        named = ", ".join(f"{i} ({degrees[i]:.1f} deg)" for i in voteless)
        lines.append(f"tilt(s) {named} do not fit with the others and have hardly a vote")
    if misfit_per_ray > LARGEST_MISFIT:
        factor = math.sqrt(misfit_per_ray)
        lines.append(
            f"the result misses the tilts by {misfit_per_ray:.1f} times the noise's variance: the specimen is not of the "
            "prior's kind, or the tilts are not aligned; the standard deviation was multiplied by "
            f"{factor:.1f} (adapt=20 may help)"
        )
    if samples < 2:
        lines.append("one sample gives no standard deviation; take samples=8 to see what is uncertain")
    return lines


def _place(section: KnownSection, size: float, unit: str) -> str:
    """Where the section lies, and who says so."""
    low, high = (face * size for face in section.faces)
    where = f"at {low:.3g} and {high:.3g} {unit} along z"
    within = f"+-{section.face_std * size:.2g} {unit}"
    if section.source == "given":
        return f"the section's faces are taken as given, {where}"
    if section.source == "found":
        convention = "what they do not tell of its height is set by convention to the middle of the grid"
        return f"the tilts place the section's faces {where}, {within}; {convention}"
    return f"the tilts are too few to tell where the section ends: its faces are assumed {where}, {within}"
