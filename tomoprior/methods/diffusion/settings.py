"""Settings of the diffusion methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tomoprior.errors import SettingsError
from tomoprior.settings import Settings

#: Posterior samples, where the standard deviation is theirs.
DEFAULT_SAMPLES = 8


class SeriesSettings(Settings):
    """Prior knowledge of a specimen and its tilts."""

    thickness: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Approximate thickness of the section, voxels; default: estimated from the tilts."
    )
    thickness_std: Annotated[float, Field(gt=0)] | None = Field(
        None, description="Standard deviation of the thickness, voxels; default: a tenth of the thickness."
    )
    faces: tuple[float, float] | None = Field(
        None, description="Heights of the section's faces above the grid's lower edge, voxels; default: found from the tilts."
    )
    face_std: float = Field(0.0, ge=0, description="Standard deviation of these heights, voxels.")
    profile: tuple[float, ...] | None = Field(
        None,
        description="Share of each plane that lies inside the section, in addition to faces; slabs pass it to each other.",
    )
    filled: bool = Field(False, description="True: the section fills the grid; its faces are not searched for.")
    scale: tuple[float, Annotated[float, Field(gt=0)]] | None = Field(
        None, description="Mean density inside the section and contrast of the specimen; default: measured from the tilts."
    )
    robust: bool = Field(True, description="True: tilts that do not agree with the others get less weight.")
    shift_std: Annotated[float, Field(ge=0)] | tuple[Annotated[float, Field(ge=0)], ...] = Field(
        0.5,
        description="Standard deviation of the shifts that remain after alignment, pixels: one, or one for each tilt. The "
        "refinement of the shifts sets it for each tilt.",
    )
    offset_std: float = Field(0.05, ge=0, description="Standard deviation of a tilt's brightness, as a share of the mean.")

    @model_validator(mode="after")
    def _check_section(self) -> SeriesSettings:
        if self.faces is not None and not self.faces[0] < self.faces[1]:
            raise ValueError("faces must run from a lower to a higher height")
        if sum((self.faces is not None, self.thickness is not None, self.filled)) > 1:
            raise ValueError("give the faces, the thickness or filled=true, not several")
        if self.profile is not None and (self.faces is None or not all(0 <= v <= 1 for v in self.profile)):
            raise ValueError("profile goes with faces, and holds shares from 0 to 1")
        if self.thickness_std is not None and self.thickness is None:
            raise ValueError("thickness_std goes with a thickness")
        return self

    def scale_and_section_from(self, provenance: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings with which other slabs of a volume use the scale and the section in one slab's record."""
        scale, section = provenance["scale"], provenance["section"]
        values: dict[str, Any] = {"scale": (scale["mean"], scale["gain"])} if self.scale is None else {}
        if section["source"] != "given":
            values |= {
                "faces": tuple(section["faces"]), "face_std": section["face_std"], "profile": tuple(section["profile"]),
                "thickness": None, "thickness_std": None,
            }  # fmt: skip
        return values


class DiffusionSettings(SeriesSettings):
    """Settings of ``diffusion`` and ``diffusion.slice``."""

    prior: str | None = Field(None, description="File (.safetensors) or name of the prior; default: the method's own.")
    samples: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto",
        description="Number of posterior samples. auto: 8, or none if mean and standard deviation are the networks'.",
    )
    std: Literal["auto", "network", "samples"] = Field(
        "auto",
        description="Source of the standard deviation: the prior's error network, or the samples. auto: the error network, "
        "if the prior has one for the returned mean.",
    )
    num_iter: int = Field(16, ge=1, description="Number of noise levels of each sample.")
    sigma_max: Annotated[float, Field(gt=0)] | None = Field(
        None, description="First noise level (the tissue's standard deviation is 0.5); default: 20, or 5 if conditional=false."
    )
    sigma_min: float = Field(0.03, gt=0, description="Last noise level.")
    mean: Literal["network", "samples"] = Field(
        "network", description="The returned volume: the network's posterior mean, or the mean of the samples."
    )
    data_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Weight of the likelihood at each noise level, relative to the conditioned network; default: the prior's "
        "recommendation, or 1 if conditional=false.",
    )
    num_cg: int = Field(15, ge=1, description="Conjugate gradients of the data step at each level.")
    conditional: bool = Field(
        True, description="False: the network is not conditioned on the data; only the data step uses them."
    )
    widening: Annotated[float, Field(ge=1)] | None = Field(
        None,
        description="Factor on the standard deviation for a specimen that the prior does not fit; default: from the misfit of "
        "the tilts.",
    )
    adapt: int = Field(
        0, ge=0, description="Low-rank training steps that adapt the network to the series by held-out tilts; 20 take a minute."
    )
    rows: Annotated[int, Field(ge=1)] | Literal["auto"] = Field(
        "auto", description="Number of slices processed at a time; it limits the memory. auto: 128."
    )
    first_row: int = Field(
        0,
        ge=0,
        description="Index of the first slice in a larger volume: all slabs then draw the same random numbers for a row.",
    )
    check_prior: bool = Field(
        True, description="False: use the prior even if voxel size or tilt range are outside its training."
    )

    @model_validator(mode="after")
    def _check_levels(self) -> DiffusionSettings:
        if self.sigma_min > self.first_level:
            raise ValueError("sigma_min must not exceed sigma_max")
        return self

    @model_validator(mode="after")
    def _check_samples(self) -> DiffusionSettings:
        if self.samples == 0 and (self.mean == "samples" or self.std == "samples" or not self.conditional):
            raise ValueError("samples=0 leaves nothing for mean=samples, std=samples or conditional=false")
        if self.std == "network" and (self.mean == "samples" or not self.conditional):
            raise ValueError(
                "std=network is the error of the network's mean; it does not go with mean=samples or conditional=false"
            )
        return self

    def resolve_samples(self, has_error_network: bool) -> DiffusionSettings:
        """Return settings with a number of samples and the source of the standard deviation, for a prior.

        An adapted network's error is not that of the prior's network, so that its standard deviation is that of samples.

        Raises
        ------
        SettingsError
            If ``std=network`` and the prior has no error network.
        """
        if self.std == "network" and not has_error_network:
            raise SettingsError("std=network needs a prior with an error network; this one has none (std=samples works)")
        fits = has_error_network and self.conditional and self.mean == "network" and not self.adapt
        from_network = self.std == "network" or (self.std == "auto" and fits)
        samples = (0 if from_network else DEFAULT_SAMPLES) if self.samples == "auto" else self.samples
        return self.model_copy(update={"samples": samples, "std": "network" if from_network else "samples"})

    @property
    def n_samples(self) -> int:
        """Number of samples after ``resolve_samples``."""
        assert self.samples != "auto"
        return self.samples

    @property
    def first_level(self) -> float:
        """First noise level: by default above the coarsest detail's amplitude, as a sample starts from the network's mean."""
        return self.sigma_max if self.sigma_max is not None else (20.0 if self.conditional else 5.0)
