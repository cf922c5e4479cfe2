"""Settings of the diffusion methods."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from tomoprior.methods.base import Settings


class SectionSettings(Settings):
    """What is known beforehand of where the section lies."""

    thickness: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Thickness of the section in voxels, as far as it is known; by default it is found from the tilts."
    )
    thickness_std: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Standard deviation of that thickness, voxels; default: a tenth of it."
    )
    faces: tuple[float, float] | None = Field(
        None, description="Heights of the section's faces in voxels from the grid's lower edge, if they are known."
    )
    face_std: float = Field(0.0, ge=0, description="Standard deviation of these heights, voxels.")
    filled: bool = Field(False, description="True: the section fills the grid; nothing is asked of the tilts.")

    @model_validator(mode="after")
    def _section_fits(self) -> SectionSettings:
        if self.faces is not None and not self.faces[0] < self.faces[1]:
            raise ValueError("faces must run from a lower to a higher height")
        if sum((self.faces is not None, self.thickness is not None, self.filled)) > 1:
            raise ValueError("give the faces, the thickness or filled=true, not several")
        if self.thickness_std is not None and self.thickness is None:
            raise ValueError("thickness_std goes with a thickness")
        return self


class DiffusionSettings(SectionSettings):
    """Settings of ``diffusion`` and ``diffusion.slice``."""

    prior: str | None = Field(None, description="A prior's file (.safetensors) or name; default: the one that comes along.")
    samples: int = Field(8, ge=1, description="Posterior samples; 1 gives no standard deviation.")
    num_iter: int = Field(16, ge=1, description="Noise levels of each sample.")
    sigma_max: float = Field(
        20.0,
        gt=0,
        description="First noise level, where the tissue's standard deviation is 0.5: what is coarser comes from the mean.",
    )
    sigma_min: float = Field(0.03, gt=0, description="Last noise level.")
    mean: Literal["network", "samples"] = Field(
        "network", description="The volume: the network's own posterior mean, or the mean of the samples."
    )
    data_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Weight of the data beside the network's conditions; default: the prior's, or 1 if conditional=false.",
    )
    num_cg: int = Field(5, ge=1, description="Conjugate gradients of the data step at each level.")
    conditional: bool = Field(
        True, description="False: the network is not told of the data, which only the data step brings in."
    )
    adapt: int = Field(
        0, ge=0, description="Low-rank steps that fit the network to the series, by tilts held out in turn; 20 take a minute."
    )
    robust: bool = Field(True, description="Tilts that do not fit with the others lose their vote.")
    shift_std: float = Field(0.5, ge=0, description="Standard deviation of the shifts that alignment left, pixels.")
    offset_std: float = Field(0.05, ge=0, description="Standard deviation of a tilt's brightness, share of the mean.")
    rows: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Slices worked on at a time: bounds the memory. auto: 128."
    )
    scale: tuple[float, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Mean density inside the section and contrast of the specimen; by default from the tilts."
    )
    first_row: int = Field(
        0, ge=0, description="Place of the first slice in a larger volume: slabs of it draw the same random numbers for a row."
    )
    check_prior: bool = Field(
        True, description="False: use the prior even where voxel size or tilt range are beyond its training."
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> DiffusionSettings:
        if self.sigma_min > self.sigma_max:
            raise ValueError("sigma_min must not exceed sigma_max")
        return self
