"""Settings of an alignment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tomoprior.settings import Settings


class AlignSettings(Settings):
    """Settings of ``tomoprior.align``."""

    tilt_axis: float | None = Field(
        None,
        ge=-360,
        le=360,
        description="Angle of the tilt axis in the images in degrees, counterclockwise from the y axis where rows grow upwards "
        "(IMOD's angle; 90 for an axis along x). Default: near 0 or near 90, whichever fits better.",
    )
    search: Literal["wide", "near", "none"] = Field(
        "near",
        description="Search of the angle: wide within 12 degrees of tilt_axis, near from there by small steps, none keeps it. "
        "Without tilt_axis the search is wide.",
    )
    specimen: Literal["auto", "isolated", "section"] = Field(
        "auto",
        description="isolated: the specimen ends within the field on both sides of the axis; section: it fills the field. "
        "auto: by the borders of the images.",
    )
    coarse: bool = Field(True, description="Try first shifts from the correlation of neighbours and from centres of mass.")
    bin: int | None = Field(
        None,
        ge=1,
        description="Binning of the finest level. Default: 1 for small images, else 2 or more: at most 256 pixels.",
    )
    method: str = Field(
        "auto", description="Iterative method of the reconstructions. auto: tv for an isolated specimen, sirt for a section."
    )
    num_iter: int = Field(
        60, ge=1, description="Its iterations in each round: detail that they do not reach pulls at the angle of the axis."
    )
    num_rounds: int = Field(12, ge=2, description="Largest number of rounds at each level and angle.")
