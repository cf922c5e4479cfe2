"""What a training can be told."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator

from tomoprior.methods.diffusion.wiener import NUM_ITER
from tomoprior.methods.learning.unet import Shape
from tomoprior.settings import Settings
from tomoprior.simulate.microscope import Range
from tomoprior.simulate.tissue import Tissue


def _listed(value: Any) -> Any:
    """``"32,96,128"`` from a command line is (32, 96, 128)."""
    return tuple(part.strip() for part in value.split(",")) if isinstance(value, str) else value


Pair = Annotated[tuple[float, float], BeforeValidator(_listed)]
Sizes = Annotated[tuple[int, int], BeforeValidator(_listed)]
Levels = Annotated[tuple[int, ...], BeforeValidator(_listed)]


class TrainingSettings(Settings):
    """Settings of ``tomoprior train``."""

    minutes: float = Field(90.0, gt=0, description="Wall-clock time; the learning rate has fallen to its end when it is over.")
    steps: int | None = Field(None, ge=1, description="Instead of minutes: exactly so many steps, the same on every run.")
    seed: int = Field(0, ge=0, lt=2**63, description="Of draws, noise and initial weights.")
    voxel_size: Range = Field((16.0, 25.0), description="Voxels to train for, in the volume's unit: each draw has its own.")
    height: int = Field(32, ge=16, multiple_of=8, description="Of the tile, voxels along z: the thickest grid.")
    tile: int = Field(48, ge=16, multiple_of=8, description="Edge of the tile along y and x, voxels.")
    batch: int = Field(2, ge=1, description="Tiles a step.")
    rate: float = Field(1e-3, gt=0, description="Highest learning rate (Adam).")
    rate_end: float = Field(1e-5, gt=0, description="Lowest; the way there is a half cosine.")
    warm_up: int = Field(200, ge=0, description="Steps in which the rate rises to its highest.")
    weight_decay: float = Field(0.01, ge=0, description="Of the weights, each step, times the rate (AdamW).")
    log_sigma: Pair = Field(
        (-0.6, 1.2),
        description="Mean and standard deviation of log(noise level): membranes are decided from 0.1 to 3.",
    )
    blind: float = Field(
        0.15, ge=0, lt=1, description="Share of the tiles with conditions that show no noisy volume: they train the mean."
    )
    drop: float = Field(0.1, ge=0, lt=1, description="Share of series' tiles without conditions, for the unconditional prior.")
    free: float = Field(
        0.25, ge=0, lt=1, description="Share of tiles from tissue without a series, for the unconditional prior."
    )
    turned: float = Field(
        0.3, ge=0, le=1, description="Share of the sections turned freely; others keep the volume's axes, in any of 48 ways."
    )
    ranges: Range = Field((6.0, 140.0), description="Tilt range, degrees; logarithmic between the two.")
    tilts: Range = Field((5, 71), description="Number of tilts.")
    tilt_step: Range = Field((0.5, 5.0), description="Between tilts, degrees; logarithmic between the two.")
    centre: float = Field(10.0, ge=0, description="Middle of the tilt range, at most so many degrees from zero.")
    field: Sizes = Field((64, 64), description="Field of view of a draw along y and x, voxels.")
    keep: int = Field(48, ge=1, description="Draws kept at a time.")
    group: int = Field(2, ge=1, description="Series simulated at a time; they share angles and voxel size.")
    num_cg: int = Field(NUM_ITER, ge=1, description="Conjugate gradients of the linear estimate: as many as in use.")
    reuse: float = Field(4.0, gt=0, description="How often a voxel of a draw is seen, on average, before the next comes in.")
    widths: Levels = Field((32, 96, 128), description="Channels of the network, per level.")
    blocks: Levels = Field((1, 2, 1), description="Residual blocks, per level and way.")
    flat: bool = Field(False, description="A network that sees one slice at a time.")
    separable: bool = Field(True, description="Kernels in the x-z plane and along y in turn: a third of the work of 3-D ones.")
    validate_every: float = Field(5.0, gt=0, description="Minutes between validations (with steps: a twentieth of them).")

    @model_validator(mode="after")
    def _fits(self) -> TrainingSettings:
        if len(self.widths) != len(self.blocks):
            raise ValueError("widths and blocks must have a value for every level")
        if not self.widths or min(self.widths + self.blocks) < 1:
            raise ValueError("widths and blocks must be 1 or more, for one level at least")
        whole = 2 ** len(self.widths)
        if self.height % whole or self.tile % whole:
            raise ValueError(f"height and tile must be multiples of {whole} for {len(self.widths)} levels")
        if min(self.field) < self.tile:
            raise ValueError(f"the field must be as wide as a tile ({self.tile}) along y and x")
        if not 2 <= self.ranges[0] <= self.ranges[1] <= 150:
            raise ValueError("ranges must lie within 2 to 150 degrees")
        if not 2 <= self.tilts[0] <= self.tilts[1]:
            raise ValueError("tilts must run from a lower to a higher number, from 2")
        for name in ("voxel_size", "tilt_step"):
            low, high = getattr(self, name)
            if not 0 < low <= high:
                raise ValueError(f"{name} must run from a lower to a higher value, above 0")
        if self.rate_end > self.rate or self.log_sigma[1] < 0:
            raise ValueError("rate_end must not exceed rate, nor the standard deviation of log_sigma be negative")
        return self

    @property
    def shape(self) -> Shape:
        """The network's size."""
        return Shape(self.widths, self.blocks, flat=self.flat, separable=self.separable and not self.flat)

    def typical_voxel(self, *tissues: Tissue) -> float:
        """The middle of the sizes trained for, or the coarsest of these volumes' own."""
        low, high = self.voxel_size
        return max(math.sqrt(low * high), *(t.voxel_size for t in tissues))

    @property
    def tile_shape(self) -> tuple[int, int, int]:
        """``(z, y, x)`` of a tile."""
        return (self.height, self.tile, self.tile)
