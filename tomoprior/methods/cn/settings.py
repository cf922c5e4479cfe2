"""Settings of coordinate networks, and the two recipes that give their defaults."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from tomoprior.settings import Settings

#: The encoders that a network can begin with; ``spline`` is a field that is linear in its weights.
Encoders = Literal["spline", "siren", "fourier", "grid", "hash"]

#: Van Veen et al. 2024, section 4.2 and their released settings. What is not named here is as in the class below. Beyond
#: settings, the recipe scales the projections to a range of one and leaves the output's first bias random (``training``).
PAPER: dict[str, Any] = {
    "encoder": "siren", "width": 256, "depth": 4, "omega": 30.0, "activation": "bound", "loss": "l1", "regulariser": "none",
    "reg_par": 0.0, "num_iter": 2000, "num_iter_next": 400, "learning_rate": 1e-3, "learning_rate_next": 1e-4, "decay": 0.1,
    "amsgrad": True, "slices": "auto", "refit": True, "coordinates": "per-axis", "pad": 0, "stop": "none",
}  # fmt: skip

#: What suits networks that are trained by Adam, where it differs from ``spline``'s and the user says nothing.
NETWORK: dict[str, Any] = {
    "activation": "softplus", "num_iter": 500, "reg_par": "auto", "learning_rate": 1e-2, "learning_rate_next": 3e-3,
    "decay": 0.05, "bandwidth": 0.06, "stop": "none",
}  # fmt: skip
#: Sine layers diverge at rates that feature grids need.
SINE: dict[str, Any] = {**NETWORK, "learning_rate": 5e-4, "learning_rate_next": 2e-4, "width": 128, "depth": 3}
#: Grids and tables need no layers: the sum of their features fits better, and several times faster (measured).
GRID: dict[str, Any] = {**NETWORK, "learning_rate": 0.04, "learning_rate_next": 0.02, "depth": 0}


class CNSettings(Settings):
    """Settings of ``cn``.

    ``recipe`` and ``encoder`` choose the defaults of all others; what is given counts.
    """

    recipe: Literal["fast", "paper"] = Field(
        "fast",
        description="fast: a spline field on all slices at once, non-negative, strength by held-out tilts; paper: the "
        "networks, loss and schedule of Van Veen et al. 2024. Other settings given override a recipe's.",
    )
    encoder: Encoders = Field(
        "spline",
        description="spline: one weight per voxel on B-splines, a convex problem; siren: sine layers; fourier: Gaussian "
        "Fourier features; grid: dense multi-resolution feature grids; hash: the same hashed. The last four end in a small "
        "network.",
    )
    degree: Literal[1, 3, 5, 7, "held-out"] = Field(
        "held-out",
        description="Degree of the B-splines: how smooth the object is taken to be, with a standard deviation of "
        "sqrt((degree + 1) / 12) voxels. 1 for objects sharp to the voxel; held-out: the highest of 1, 3, 5 with "
        "which tilts left out are predicted hardly worse than with the best.",
    )
    width: int = Field(64, ge=1, le=4096, description="Neurons in a hidden layer.")
    depth: int = Field(
        2, ge=0, le=32, description="Hidden layers after the encoder; 0: the encoder's features summed linearly."
    )
    omega: float = Field(30.0, gt=0, description="Frequency factor of siren's sine layers.")
    bandwidth: float = Field(
        0.25, gt=0, le=0.5, description="Standard deviation of fourier's random frequencies, cycles per voxel."
    )
    features: int = Field(4, ge=1, le=512, description="Features per level of grid and hash; frequencies of fourier times 64.")
    levels: int = Field(
        4,
        ge=1,
        le=16,
        description="Levels of grid and hash, each twice as fine as the one before; the last has one node a voxel.",
    )
    table_size: int = Field(18, ge=4, le=26, description="log2 of the entries in a level's table of hash.")
    coordinates: Literal["isotropic", "per-axis"] = Field(
        "isotropic",
        description="What a network sees: one scale for all axes, from -1 to 1 along the longest; or every axis from 0 to 1.",
    )
    activation: Literal["none", "softplus", "bound"] = Field(
        "bound", description="none; softplus: a network's output is positive; bound: spline's weights are not negative, and "
        "a network's negative values are cut off when it is fitted, as in the paper. Values are counted from the background.",
    )  # fmt: skip
    background: float | Literal["held-out"] = Field(
        0.0,
        description="Level per voxel that the object lies in (ice, resin), added to the field; with non-negativity the lowest "
        "value. held-out: the highest level that still predicts left-out tilts.",
    )
    loss: Literal["l1", "l2", "huber"] = Field("l2", description="Penalty on residuals of the projections.")
    loss_delta: float = Field(
        0.1, gt=0, description="Where huber turns from square to linear, in standard deviations of the projections."
    )
    regulariser: Literal["none", "squared", "tv", "huber-tv"] = Field(
        "tv",
        description="Penalty on differences D between neighbours: squared, reg_par sum |D|^2; tv, total variation, "
        "reg_par sum |D|; huber-tv, its Huber form.",
    )
    regulariser_delta: float = Field(
        0.05, gt=0, description="Where huber-tv turns from square to linear, as a fraction of the typical contrast."
    )
    reg_par: Annotated[float, Field(ge=0)] | Literal["auto", "held-out"] = Field(
        "held-out",
        description="Strength of the regulariser against the loss, as in tv; auto: a rule (0.005 times the number of tilts "
        "times the contrast); held-out: the strength that predicts every fifth tilt best when it is left out. Networks: a "
        "number or auto.",
    )
    num_iter: int = Field(300, ge=1, description="Iterations; with several networks, of the first one.")
    num_iter_next: int = Field(400, ge=1, description="Iterations of each further network, warm-started.")
    learning_rate: float = Field(1e-2, gt=0, description="Adam's rate, constant for the first half of the iterations.")
    learning_rate_next: float = Field(1e-3, gt=0, description="The same for further networks.")
    decay: float = Field(
        0.1, gt=0, le=1, description="Rate at the end over the rate at the start, log-linear in the second half."
    )
    amsgrad: bool = Field(False, description="AdamW's amsgrad variant.")
    slices: Annotated[int, Field(ge=1)] | Literal["all", "auto"] = Field(
        "all", description="y-slices that share a network. auto: 2 to 4, about two weights to a measurement, as in the paper."
    )
    start: str | None = Field(
        None, description="A field's file (.safetensors): the first network starts from its middle one, with num_iter_next "
        "iterations, where both span as many voxels.",
    )  # fmt: skip
    warm_start: bool = Field(True, description="Start each further network from its neighbour nearer to the middle.")
    refit: bool = Field(
        False,
        description="Fit the first network a second time, warm-started from its neighbour (from itself where it is alone), as "
        "in the paper, whose first rate leaves much noise.",
    )
    stop: Literal["none", "held-out"] = Field(
        "held-out",
        description="held-out: fit without every fifth tilt first, note the iteration that predicts them best, then fit all "
        "tilts for as many iterations (twice the time). none: num_iter.",
    )
    precision: Literal["float32", "bfloat16"] = Field("float32", description="Arithmetic of a network's layers.")
    seed: int = Field(0, ge=0, description="Of a network's first weights; the same seed, the same volume on the CPU.")
    pad: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="Voxels added at either end of x while solving, as in tv; 0: an isolated object."
    )

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        defaults = dict(PAPER) if values.get("recipe") == "paper" else {}
        encoder = values.get("encoder", defaults.get("encoder", "spline"))
        if encoder != "spline" and not defaults:
            defaults = dict({"siren": SINE, "fourier": NETWORK}.get(encoder, GRID))
        return {**defaults, **values}

    @model_validator(mode="after")
    def _consistent(self) -> CNSettings:
        if self.encoder == "spline" and self.activation == "softplus":
            raise ValueError("spline's weights are bounded: activation is bound or none")
        if self.encoder != "spline" and self.reg_par == "held-out" and self.regulariser != "none":
            raise ValueError("reg_par=held-out is for spline; give a number, or auto")
        if self.encoder == "spline" and self.start is not None:
            raise ValueError("start is for networks; give spline an initial volume")
        if self.encoder != "spline" and self.background == "held-out":
            raise ValueError("background=held-out is for spline; give a number")
        return self
