"""Settings of ``wedge``, and the presets that give their defaults."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from tomoprior.settings import Settings

#: Defaults of ``preset="full"`` where they differ from the class below: the paper's training where it says (30 rounds, cubes of
#: 64, rate 4e-4, noise from round 11 on). It wants a GPU.
FULL: dict[str, Any] = {
    "num_iter": 30, "steps": 400, "cube_size": 64, "batch_size": 8, "width": 64, "learning_rate": 4e-4, "noise_start": 11,
}  # fmt: skip


class WedgeSettings(Settings):
    """Settings of ``wedge``; ``preset`` chooses the defaults of the others, and what is given counts."""

    preset: Literal["quick", "full"] = Field(
        "quick",
        description="quick: a small network, 128 x 128 x 128 voxels on two CPU cores within half an hour. full: more and "
        "larger cubes, a wider network and the rounds of Liu et al. 2022, for a GPU. Other settings given override a preset's.",
    )
    start: str = Field(
        "wbp",
        description="The method, with its default settings, whose volume the network learns from and fills in; an initial "
        "volume takes its place.",
    )
    num_iter: int = Field(
        6,
        ge=1,
        description="Rounds: after each, what the network predicts where no tilt measured goes into the next one's cubes.",
    )
    steps: int = Field(150, ge=1, description="Steps of the optimiser in a round, each on batch_size cubes.")
    batch_size: int = Field(2, ge=1, description="Cubes in a step.")
    cube_size: int = Field(
        48, ge=16, multiple_of=8, description="Voxels along a cube's edge; larger than the structure that is to be filled in."
    )
    width: int = Field(
        16,
        ge=1,
        description="Channels of the network's finest level; a further level has twice as many. Multiples of 16 are fastest.",
    )
    levels: int = Field(3, ge=2, le=3, description="Levels of the network, from half the resolution down.")
    learning_rate: float = Field(
        3e-3,
        gt=0,
        description="Adam's rate after a short rise; over all rounds it falls to a tenth, along half a cosine. Wider networks "
        "need less: 16 channels learn at 4e-3 and diverge at 8e-3.",
    )
    noise_level: float = Field(
        0.05,
        ge=0,
        description="Standard deviation of the noise added to the network's input, as a share of the volume's: it learns to "
        "leave noise out of what it fills in. The noise is that of filtered back-projections.",
    )
    noise_start: int = Field(4, ge=1, description="First round with that noise.")
    percentile: float = Field(
        4.0,
        gt=0,
        lt=50,
        description="The network's unit of values comes from their range between this percentile and as far from the top.",
    )
    loss_region: Literal["measured", "all"] = Field(
        "measured",
        description="Which frequencies of a rotated cube count as target: measured, those that a tilt measured; all, also "
        "those that the network itself filled in the round before, as in the paper.",
    )
    keep_measured: bool = Field(
        True,
        description="What the tilts measured stays in the result as it is. False: the network's prediction altogether, which "
        "is smoother and no longer bound to the data.",
    )
    tile_size: int = Field(
        64, ge=16, multiple_of=8, description="Voxels along the edge of the tiles in which the whole volume is predicted."
    )
    checkpoint: str | None = Field(
        None,
        description="A file (.safetensors) that the training is saved to every two minutes and after every round; where it "
        "exists, the training goes on from it.",
    )
    network: str | None = Field(
        None, description="A trained network's file, such as a checkpoint: it is applied, and nothing is trained."
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {**(FULL if values.get("preset") == "full" else {}), **values}

    @model_validator(mode="after")
    def _consistent(self) -> WedgeSettings:
        if self.start == "wedge":
            raise ValueError("the network cannot start from itself")
        if self.checkpoint is not None and self.network is not None:
            raise ValueError("checkpoint is for a training, and with network there is none; give one of them")
        return self

    def noise(self, number: int) -> float:
        """Of a round, counted from 0."""
        return self.noise_level if number + 1 >= self.noise_start else 0.0

    @property
    def total(self) -> int:
        """Steps of all rounds."""
        return self.num_iter * self.steps
