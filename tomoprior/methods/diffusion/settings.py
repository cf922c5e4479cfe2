"""Settings of the diffusion methods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tomoprior.methods.base import Settings


class DiffusionSettings(Settings):
    """Settings of ``diffusion`` and ``diffusion.slice``."""

    prior: str | None = Field(None, description="A prior's file (.safetensors) or name; default: the one that comes along.")
    samples: int = Field(8, ge=1, description="Posterior samples; their mean is the volume. 1 gives no standard deviation.")
    num_iter: int = Field(20, ge=1, description="Noise levels of each sample.")
    sigma_max: float = Field(
        80.0, gt=0, description="First noise level, where the tissue's standard deviation is 0.5: nothing of it is left to see."
    )
    sigma_min: float = Field(0.02, gt=0, description="Last noise level.")
    mean_sigma: float = Field(
        10.0, gt=0, description="The mean is taken over the denoiser's estimates at noise levels from here up, of all samples."
    )
    data_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Say of the data at each level beside what the network knows of them; default: the prior's.",
    )
    num_cg: int = Field(5, ge=1, description="Conjugate gradients of the data step at each level.")
    conditional: bool = Field(
        True, description="False: the network is not told of the data, which only the data step brings in."
    )
    robust: bool = Field(True, description="Tilts that do not fit with the others lose their vote.")
    shift_std: float = Field(0.5, ge=0, description="Standard deviation of the shifts that alignment left, pixels.")
    offset_std: float = Field(0.05, ge=0, description="Standard deviation of a tilt's brightness, share of the mean.")
    rows: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Slices worked on at a time: bounds the memory. auto: 128."
    )
    scale: tuple[float, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Mean density per voxel and contrast of the specimen; by default from the tilts."
    )
    first_row: int = Field(
        0, ge=0, description="Place of the first slice in a larger volume: slabs of it draw the same random numbers for a row."
    )
    check_prior: bool = Field(
        True, description="False: use the prior even where voxel size or tilt range are beyond its training."
    )
