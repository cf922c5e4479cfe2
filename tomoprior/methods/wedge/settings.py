"""Settings of ``wedge``, and the presets for their defaults."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from tomoprior.settings import Settings

#: Most channels of the finest level: the weights of a network of three levels then take 6 GB.
MAX_WIDTH = 1024

#: Fewest and most levels of a network.
MIN_DEPTH, MAX_DEPTH = 2, 3

#: Defaults of ``preset="full"`` where they differ from the class below. Rounds, cubes, learning rate and first round with noise
#: are those of the paper (30, 64, 4e-4, 11). The preset needs a GPU.
FULL: dict[str, Any] = {
    "num_iter": 30, "steps_per_round": 400, "cube_size": 64, "batch_size": 8, "width": 64, "learning_rate": 4e-4,
    "noise_start": 11,
}  # fmt: skip


class WedgeSettings(Settings):
    """Settings of ``wedge``; ``preset`` chooses the defaults of the others, and settings override them."""

    #: Earlier names, which are accepted for one release.
    renamed: ClassVar[dict[str, str]] = {"steps": "steps_per_round", "levels": "depth"}

    preset: Literal["quick", "full"] = Field(
        "quick",
        description="quick: a small network, 128 x 128 x 128 voxels on two CPU cores within half an hour. full: more and "
        "larger cubes, a wider network and the rounds of Liu et al. 2022, for a GPU. Other settings override it.",
    )
    start: str | None = Field(
        None,
        description="Name of the method whose volume, with default settings, the network learns from and fills in. An initial "
        "volume replaces it. By default wbp, and sirt for halves and for images with a transfer function.",
    )
    num_iter: int = Field(
        6,
        ge=1,
        description="Rounds. After each, the network's prediction at the unmeasured frequencies enters the cubes of the next.",
    )
    steps_per_round: int = Field(150, ge=1, description="Steps of the optimiser in a round, each on batch_size cubes.")
    batch_size: int = Field(2, ge=1, description="Cubes per step.")
    cube_size: int = Field(
        48, ge=16, multiple_of=8, description="Voxels along the edge of a cube; larger than the structure to fill in."
    )
    width: int = Field(
        16,
        ge=1,
        le=MAX_WIDTH,
        description="Channels of the network's finest level; each further one has twice as many. Multiples of 16 run fastest.",
    )
    depth: int = Field(3, ge=MIN_DEPTH, le=MAX_DEPTH, description="Levels of the network, from half the resolution down.")
    learning_rate: float = Field(
        3e-3,
        gt=0,
        description="Highest learning rate (Adam), after a short rise; over all rounds it falls to a tenth, along half a "
        "cosine. Wider networks need less: 16 channels learn at 4e-3 and diverge at 8e-3.",
    )
    noise_level: float = Field(
        0.05,
        ge=0,
        description="Standard deviation of the noise added to the network's input, as a share of the volume's: the network "
        "learns to fill in without noise. The noise is that of filtered back-projections.",
    )
    noise_start: int = Field(4, ge=1, description="First round with that noise.")
    percentile: float = Field(
        4.0,
        gt=0,
        lt=50,
        description="The network's unit of values comes from their range between this percentile and 100 minus it.",
    )
    loss_region: Literal["measured", "all"] = Field(
        "measured",
        description="Frequencies of a rotated cube that count as target. measured: those that a tilt measured. all: also "
        "those that the network filled in in the round before, as in the paper.",
    )
    halves: bool = Field(
        False,
        description="The series has every tilt twice, from independent halves of its frames: first all images of one half, "
        "then all of the other. The network learns to predict one half from the other, which takes out the noise too.",
    )
    keep_measured: bool | None = Field(
        None,
        description="Keep the measured frequencies in the result; by default yes without halves, no with them. False: the "
        "result is the whole prediction of the network, which is smoother and no longer bound to the data.",
    )
    tile_size: int = Field(
        64, ge=16, multiple_of=8, description="Voxels along the edge of the tiles in which the whole volume is predicted."
    )
    checkpoint: str | None = Field(
        None,
        description="File (.safetensors) of the training's state, saved every two minutes and after every round. If it "
        "exists, the training continues from it. It also serves as a network.",
    )
    network: str | None = Field(
        None, description="File of a trained network, such as a checkpoint. It is applied without training."
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        given = {cls.renamed.get(name, name) for name in values}
        defaults = FULL if values.get("preset") == "full" else {}
        return {**{name: value for name, value in defaults.items() if name not in given}, **values}

    @model_validator(mode="after")
    def _consistent(self) -> WedgeSettings:
        if self.start == "wedge":
            raise ValueError("the network cannot start from itself")
        if self.checkpoint is not None and self.network is not None:
            raise ValueError("checkpoint is for a training, and a network from a file is not trained; give one of them")
        return self

    @property
    def keeps_measured(self) -> bool:
        """Whether the result keeps the measured frequencies."""
        return not self.halves if self.keep_measured is None else self.keep_measured

    def choose_start(self, *, transfer: bool = False) -> str:
        """Return the name of the first method; ``transfer`` says whether the images passed a transfer function.

        On halves at a signal-to-noise ratio of 0.1 the network gains several dB on ``sirt``, which ends before it fits noise,
        and less on ``wbp``, whose noise it has to learn to remove.
        """
        return self.start or ("sirt" if transfer or self.halves else "wbp")

    def noise(self, number: int) -> float:
        """Return the noise level of a round, counted from 0."""
        return self.noise_level if number + 1 >= self.noise_start else 0.0

    @property
    def total_steps(self) -> int:
        """Steps of all rounds."""
        return self.num_iter * self.steps_per_round
