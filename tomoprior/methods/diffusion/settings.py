"""Settings of the diffusion methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tomoprior.settings import Settings


class SeriesSettings(Settings):
    """What is known beforehand of a specimen and of its tilts."""

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
    profile: tuple[float, ...] | None = Field(
        None, description="Share of every plane that lies inside the section, beside its faces; slabs hand it to each other."
    )
    filled: bool = Field(False, description="True: the section fills the grid; nothing is asked of the tilts.")
    scale: tuple[float, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Mean density inside the section and contrast of the specimen; by default from the tilts."
    )
    robust: bool = Field(True, description="Tilts that do not fit with the others lose their vote.")
    shift_std: float = Field(0.5, ge=0, description="Standard deviation of the shifts that alignment left, pixels.")
    offset_std: float = Field(0.05, ge=0, description="Standard deviation of a tilt's brightness, share of the mean.")

    @model_validator(mode="after")
    def _section_fits(self) -> SeriesSettings:
        if self.faces is not None and not self.faces[0] < self.faces[1]:
            raise ValueError("faces must run from a lower to a higher height")
        if sum((self.faces is not None, self.thickness is not None, self.filled)) > 1:
            raise ValueError("give the faces, the thickness or filled=true, not several")
        if self.profile is not None and (self.faces is None or not all(0 <= v <= 1 for v in self.profile)):
            raise ValueError("profile goes with faces, and holds shares from 0 to 1")
        if self.thickness_std is not None and self.thickness is None:
            raise ValueError("thickness_std goes with a thickness")
        return self

    def handed_over(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """Settings by which other slabs of a volume take over scale and section from the one that made this record."""
        found, section = provenance["scale"], provenance["section"]
        values: dict[str, Any] = {"scale": (found["mean"], found["gain"])} if self.scale is None else {}
        if section["source"] != "given":
            values |= {
                "faces": tuple(section["faces"]), "face_std": section["face_std"], "profile": tuple(section["profile"]),
                "thickness": None, "thickness_std": None,
            }  # fmt: skip
        return values


class DiffusionSettings(SeriesSettings):
    """Settings of ``diffusion`` and ``diffusion.slice``."""

    prior: str | None = Field(None, description="A prior's file (.safetensors) or name; default: the one that comes along.")
    samples: int = Field(8, ge=1, description="Posterior samples; 1 gives no standard deviation.")
    num_iter: int = Field(16, ge=1, description="Noise levels of each sample.")
    sigma_max: Annotated[float, Field(gt=0)] | None = Field(
        None, description="First noise level (the tissue's standard deviation is 0.5); default: 20, or 5 if conditional=false."
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
    num_cg: int = Field(15, ge=1, description="Conjugate gradients of the data step at each level.")
    conditional: bool = Field(
        True, description="False: the network is not told of the data, which only the data step brings in."
    )
    widening: Annotated[float, Field(ge=1)] | None = Field(
        None,
        description="Factor on the standard deviation where the prior does not fit; by default from the misfit of the tilts.",
    )
    adapt: int = Field(
        0, ge=0, description="Low-rank steps that fit the network to the series, by tilts held out in turn; 20 take a minute."
    )
    rows: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Slices worked on at a time: bounds the memory. auto: 128."
    )
    first_row: int = Field(
        0, ge=0, description="Place of the first slice in a larger volume: slabs of it draw the same random numbers for a row."
    )
    check_prior: bool = Field(
        True, description="False: use the prior even where voxel size or tilt range are beyond its training."
    )

    @model_validator(mode="after")
    def _levels_fit(self) -> DiffusionSettings:
        if self.sigma_min > self.highest:
            raise ValueError("sigma_min must not exceed sigma_max")
        return self

    @property
    def highest(self) -> float:
        """First noise level: above the power of the coarsest detail, where the network leads a sample from its own mean."""
        return self.sigma_max if self.sigma_max is not None else (20.0 if self.conditional else 5.0)
