"""Settings of a training."""

from __future__ import annotations

import math
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator, Field, model_validator

from tomoprior.methods.diffusion.wiener import NUM_ITER
from tomoprior.methods.learning.unet import Shape
from tomoprior.settings import Settings
from tomoprior.simulate.microscope import Range
from tomoprior.simulate.tissue import Tissue


def _listed(value: Any) -> Any:
    """Return text of a command line such as ``"32,96,128"`` as a tuple of its parts."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Pair = Annotated[tuple[float, float], BeforeValidator(_listed)]
Sizes = Annotated[tuple[int, int], BeforeValidator(_listed)]
Levels = Annotated[tuple[int, ...], BeforeValidator(_listed)]


class TrainingSettings(Settings):
    """Settings of ``tomoprior train``."""

    #: Earlier names, which are accepted for one release.
    renamed: ClassVar[dict[str, str]] = {
        "rate": "learning_rate", "rate_end": "learning_rate_end", "batch": "batch_size", "tile": "tile_size",
    }  # fmt: skip

    minutes: float = Field(
        90.0,
        gt=0,
        description="Wall-clock time of the steps; the learning rate then is at its end. A calibration takes further time.",
    )
    steps: int | None = Field(None, ge=1, description="Number of steps instead of minutes; the same result on every run.")
    seed: int = Field(0, ge=0, lt=2**63, description="Seed of draws, noise and initial weights.")
    voxel_size: Range = Field((16.0, 25.0), description="Range of voxel sizes to train for, in the volume's unit.")
    height: int = Field(32, ge=16, multiple_of=8, description="Height of the tile along z in voxels: the thickest grid.")
    tile_size: int = Field(48, ge=16, multiple_of=8, description="Edge of the tile along y and x in voxels.")
    batch_size: int = Field(2, ge=1, description="Tiles per step.")
    learning_rate: float = Field(1e-3, gt=0, description="Highest learning rate (Adam).")
    learning_rate_end: float = Field(1e-5, gt=0, description="Lowest learning rate; it is reached along half a cosine.")
    warm_up: int = Field(200, ge=0, description="Steps in which the learning rate rises to its highest.")
    weight_decay: float = Field(0.01, ge=0, description="Decay of the weights in each step, times the learning rate (AdamW).")
    log_sigma: Pair = Field(
        (-0.6, 1.2),
        description="Mean and standard deviation of log(noise level); levels from 0.1 to 3 decide on membranes.",
    )
    blind: float = Field(
        0.15, ge=0, lt=1, description="Share of the conditioned tiles without a noisy volume: they train the mean."
    )
    drop: float = Field(0.1, ge=0, lt=1, description="Share of series' tiles without conditions, for the unconditional prior.")
    free: float = Field(
        0.25, ge=0, lt=1, description="Share of the tiles from blocks without a series, for the unconditional prior."
    )
    turned: float = Field(
        0.3, ge=0, le=1, description="Share of the sections that are turned freely; the others have one of 48 orientations."
    )
    ranges: Range = Field((6.0, 140.0), description="Smallest and largest tilt range in degrees; log-uniform between them.")
    tilts: Range = Field((5, 71), description="Smallest and largest number of tilts.")
    tilt_step: Range = Field((0.5, 5.0), description="Smallest and largest tilt step in degrees; log-uniform between them.")
    centre: float = Field(10.0, ge=0, description="Largest distance of the middle of the tilt range from zero, degrees.")
    field: Sizes = Field((64, 64), description="Field of view of a draw along y and x in voxels.")
    keep: int = Field(48, ge=1, description="Draws in memory at a time.")
    group: int = Field(2, ge=1, description="Series that are simulated together; they share angles and voxel size.")
    num_cg: int = Field(NUM_ITER, ge=1, description="Conjugate-gradient iterations of the linear estimate, as in use.")
    reuse: float = Field(4.0, gt=0, description="Average uses of a voxel of a draw before the next group of draws.")
    widths: Levels = Field((32, 96, 128), description="Channels of the network per level.")
    blocks: Levels = Field((1, 2, 1), description="Residual blocks per level, on the way down and on the way up.")
    flat: bool = Field(False, description="Train a network that sees one slice at a time.")
    separable: bool = Field(True, description="Kernels in the x-z plane and along y: a third of the work of 3-D kernels.")
    validate_every: float = Field(5.0, gt=0, description="Minutes between validations (with steps: a twentieth of them).")

    @model_validator(mode="after")
    def _fits(self) -> TrainingSettings:
        if len(self.widths) != len(self.blocks):
            raise ValueError("widths and blocks must have a value for every level")
        if not self.widths or min(self.widths + self.blocks) < 1:
            raise ValueError("widths and blocks must be 1 or more, for at least one level")
        whole = 2 ** len(self.widths)
        if self.height % whole or self.tile_size % whole:
            raise ValueError(f"height and tile_size must be multiples of {whole} for {len(self.widths)} levels")
        if min(self.field) < self.tile_size:
            raise ValueError(f"the field must be at least as wide as a tile ({self.tile_size}) along y and x")
        if not 2 <= self.ranges[0] <= self.ranges[1] <= 150:
            raise ValueError("ranges must lie within 2 to 150 degrees")
        if not 2 <= self.tilts[0] <= self.tilts[1]:
            raise ValueError("tilts must run from a lower to a higher number, from 2")
        for name in ("voxel_size", "tilt_step"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must run from a lower to a higher value, above 0")
        if self.learning_rate_end > self.learning_rate or self.log_sigma[1] < 0:
            raise ValueError("learning_rate_end must not exceed learning_rate, and log_sigma needs a standard deviation from 0")
        return self

    @property
    def shape(self) -> Shape:
        """Size of the network."""
        return Shape(self.widths, self.blocks, flat=self.flat, separable=self.separable and not self.flat)

    def typical_voxel(self, *tissues: Tissue) -> float:
        """Return the geometric mean of the voxel sizes to train for, or the coarsest of these volumes' own."""
        low, high = self.voxel_size
        return max(math.sqrt(low * high), *(t.voxel_size for t in tissues))

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """Shape of a tile, ``(z, y, x)``."""
        return (self.height, self.tile_size, self.tile_size)
