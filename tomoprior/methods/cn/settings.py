"""Settings of coordinate networks: those of all encoders, and those of each one."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator
from pydantic.fields import FieldInfo

from tomoprior.errors import SettingsError
from tomoprior.methods.cn import field_types
from tomoprior.methods.cn.presets import PAPER, replace_old_activation
from tomoprior.settings import Settings


class CNSettings(Settings):
    """Settings of ``cn`` that every encoder has.

    ``CNSettings(encoder="hash", table_size=14)`` and ``CNSettings.parse`` return an object of the encoder's own class, which
    adds the settings of that encoder. ``preset`` and ``encoder`` choose the defaults; settings given by the user override them.
    """

    renamed: ClassVar[dict[str, str]] = {
        "recipe": "preset", "loss_delta": "loss_huber_delta", "regulariser_delta": "huber_delta", "start": "initial_field",
    }  # fmt: skip
    fast: ClassVar[Mapping[str, Any]] = {"reg_par": "auto", "stop": None}

    preset: Literal["fast", "paper"] = Field(
        "fast",
        description="Set of defaults. fast: a spline field on all slices at once, non-negative, strength by held-out tilts; "
        "paper: the networks, loss and schedule of Van Veen et al. 2024.",
    )
    encoder: Literal["spline", "siren", "fourier", "grid", "hash"] = Field(
        "spline",
        description="Form of the field. spline: one weight per voxel on B-splines, a convex problem; siren: sine layers; "
        "fourier: Gaussian Fourier features; grid: dense multi-resolution feature grids; hash: the same, hashed. The last four "
        "end in a small network.",
    )
    min_constraint: Annotated[float, Field(ge=0, le=0)] | None = Field(
        0.0,
        description="Lower bound of the values per voxel, counted from the background: 0 for non-negativity, the strongest "
        "prior for objects that have no negative values, or none.",
    )
    background: float | Literal["held-out"] = Field(
        0.0,
        description="Level per voxel of the material around the object (ice, resin), added to the field. held-out: the highest "
        "level that still predicts held-out tilts.",
    )
    loss: Literal["l1", "l2", "huber"] = Field(
        "l2", description="Penalty on residuals of the projections: absolute value, half the square, or Huber's function."
    )
    loss_huber_delta: float = Field(
        0.1,
        gt=0,
        description="Residual at which loss=huber turns from square to linear, in standard deviations of the projections.",
    )
    regulariser: Annotated[Literal["squared", "tv", "huber-tv"] | None, field_types.NoneWord] = Field(
        "tv",
        description="Penalty on differences D between neighbours. squared: reg_par sum |D|^2; tv, total variation: reg_par sum "
        "|D|; huber-tv: its Huber form; or none.",
    )
    huber_delta: float = Field(
        0.05,
        gt=0,
        description="Difference between neighbours below which regulariser=huber-tv is quadratic, as a fraction of the typical "
        "contrast (in tv: value per voxel).",
    )
    reg_par: field_types.Strength | Literal["auto", "held-out"] = Field(
        "held-out",
        description="Strength of the regulariser relative to the loss, as in tv. auto: 0.005 times the number of tilts times "
        "the contrast; held-out: the strength that predicts every fifth tilt best from the other tilts.",
    )
    num_iter: field_types.Iterations = 300
    stop: Annotated[Literal["held-out"] | None, field_types.NoneWord] = Field(
        "held-out",
        description="held-out: fit without every fifth tilt first, note the iteration that predicts these tilts best, then fit "
        "all tilts for as many iterations (twice the time). none: num_iter iterations.",
    )
    pad: Annotated[int, Field(ge=0)] | Literal["auto"] = Field(
        "auto", description="Voxels added at either end of x while solving, as in tv. 0: for an isolated object."
    )

    def __new__(cls, **values: Any) -> Self:
        """Create an object of the encoder's class."""
        return super().__new__(cls._class_for(values) if cls is CNSettings else cls)

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Return the settings of the encoder's class; see ``Settings.parse``. A setting of another encoder is refused."""
        if cls is CNSettings:
            return cls._class_for(values).parse(values)
        values = cls.with_current_names(values)
        cls._refuse_settings_of_others(values)
        return super().parse(values)

    @classmethod
    def model_validate(cls, obj: Any, **options: Any) -> Self:
        """Return the settings of the encoder's class; see ``pydantic.BaseModel.model_validate``."""
        if cls is CNSettings and isinstance(obj, dict):
            return cls._class_for(obj).model_validate(obj, **options)
        return super().model_validate(obj, **options)

    @classmethod
    def fields_by_group(cls) -> dict[str, dict[str, FieldInfo]]:
        """Return the fields of all encoders, then those that each encoder adds, or whose default or choices it changes."""
        groups: dict[str, dict[str, FieldInfo]] = {"": dict(CNSettings.model_fields)}
        for kind in (SplineSettings, NetworkSettings, ReluSettings, SirenSettings, FourierSettings, GridSettings, HashSettings):
            inherited = {**kind.__mro__[1].model_fields, "encoder": kind.model_fields["encoder"]}  # type: ignore[attr-defined]
            encoders = ", ".join(name for name, each in CLASSES.items() if issubclass(each, kind))
            own = {name: field for name, field in kind.model_fields.items() if repr(field) != repr(inherited.get(name))}
            groups[f"encoder={encoders}"] = own
        return groups

    @classmethod
    def with_current_names(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Replace old names and the old values of ``activation``; see ``Settings.with_current_names``."""
        values = super().with_current_names(values)
        if values.get("activation") in ("bound", "none"):
            warnings.warn(
                f"activation={values['activation']} is now min_constraint=0 (with activation=clip for a network), or "
                "min_constraint=none; the old value works for one release", DeprecationWarning, 3,
            )  # fmt: skip
            values = replace_old_activation(values)
            if not issubclass(cls._class_of_encoder(values), NetworkSettings):
                values.pop("activation", None)
        return values

    @classmethod
    def _class_of_encoder(cls, values: dict[str, Any]) -> type[CNSettings]:
        if cls in CLASSES.values():
            return cls
        encoder = values.get("encoder", "siren" if values.get("preset") == "paper" else "spline")
        if encoder not in CLASSES:
            raise SettingsError(f"encoder: input should be {', '.join(CLASSES)}; got {encoder!r}")
        return CLASSES[encoder]

    @classmethod
    def _class_for(cls, values: dict[str, Any]) -> type[Self]:
        """Return the class of the encoder that the values name, and refuse settings of other encoders."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # they are issued when the values are validated
            values = cls.with_current_names(values)
        kind = cls._class_of_encoder(values)
        kind._refuse_settings_of_others(values)
        return kind  # type: ignore[return-value]

    @classmethod
    def _refuse_settings_of_others(cls, values: dict[str, Any]) -> None:
        for name in values:
            owners = [encoder for encoder, kind in CLASSES.items() if name in kind.model_fields]
            if owners and name not in cls.model_fields:
                own = cls.model_fields["encoder"].default
                raise SettingsError(f"{name} is a setting of encoder={', '.join(owners)}; the encoder here is {own}")

    @model_validator(mode="before")
    @classmethod
    def _preset_defaults(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        values = cls.with_current_names(values)
        preset = PAPER if values.get("preset") == "paper" else {}
        return {**{name: value for name, value in preset.items() if name in cls.model_fields}, **values}


class SplineSettings(CNSettings):
    """Settings of ``cn`` with ``encoder="spline"``: a field that is linear in its weights."""

    encoder: Literal["spline"] = Field("spline", description="Form of the field.")
    degree: Literal[1, 3, 5, 7, "held-out"] = Field(
        "held-out",
        description="Degree of the B-splines: the assumed smoothness of the object, with a standard deviation of "
        "sqrt((degree + 1) / 12) voxels. 1: for objects sharp to the voxel; held-out: the highest of 1, 3, "
        "5 that predicts held-out tilts hardly worse than the best.",
    )


class NetworkSettings(CNSettings):
    """Settings of ``cn`` with an encoder that ends in a network, which Adam trains."""

    background: float = Field(
        0.0, description="Level per voxel of the material around the object (ice, resin), added to the field: a number."
    )
    reg_par: field_types.Strength | Literal["auto"] = Field(
        "auto",
        description="Strength of the regulariser relative to the loss, as in tv. auto: 0.005 times the number of tilts times "
        "the contrast. held-out is for spline only: every strength tried would cost a training.",
    )
    num_iter: field_types.Iterations = 500
    stop: Annotated[Literal["held-out"] | None, field_types.NoneWord] = Field(
        None, description=CNSettings.model_fields["stop"].description
    )
    activation: Literal["softplus", "clip"] = Field(
        "softplus",
        description="How a network keeps min_constraint=0. softplus: of its output; clip: negative values are cut off "
        "after the fit, as in the paper.",
    )
    width: field_types.Width = 64
    depth: field_types.Depth = 2
    num_iter_next: int = Field(
        400, ge=1, description="Number of iterations of each further network, which starts from a neighbour."
    )
    learning_rate: field_types.LearningRate = 1e-2
    learning_rate_next: field_types.NextLearningRate = 3e-3
    decay: float = Field(
        0.05,
        gt=0,
        le=1,
        description="Learning rate at the end, as a fraction of the rate at the start; log-linear in the second half.",
    )
    amsgrad: bool = Field(False, description="Use AdamW's amsgrad variant.")
    slices: Annotated[int, Field(ge=1)] | Literal["all", "auto"] = Field(
        "all",
        description="Number of y-slices that share a network. auto: 2 to 4, about two weights per measurement, as in "
        "the paper.",
    )
    initial_field: str | None = Field(
        None,
        description="File of a field (.safetensors). The first network starts from the middle network of this field, with "
        "num_iter_next iterations, if both span as many voxels.",
    )
    warm_start: bool = Field(True, description="Start each further network from its neighbour nearer to the middle.")
    refit: bool = Field(
        False,
        description="Fit the first network a second time, from its neighbour's weights (from its own if it is alone), "
        "as in the paper, whose first learning rate leaves much noise.",
    )
    seed: int | None = Field(
        None,
        ge=0,
        description="Seed of a network's first weights; none: the seed of the run. Equal seeds give equal volumes on the CPU.",
    )

    @property
    def output(self) -> Literal["linear", "softplus", "clip"]:
        """How outputs become values: as they are, through a softplus, or with negative values cut off after the fit."""
        return "linear" if self.min_constraint is None else self.activation


class ReluSettings(NetworkSettings):
    """Settings of ``cn`` with an encoder whose layers are rectified linear."""

    precision: Literal["float32", "bfloat16"] = Field("float32", description="Arithmetic of a network's layers.")


class SirenSettings(NetworkSettings):
    """Settings of ``cn`` with ``encoder="siren"``. Sine layers diverge at the learning rates that feature grids need."""

    encoder: Literal["siren"] = Field("siren", description="Form of the field.")
    width: field_types.Width = 128
    depth: field_types.Depth = 3
    learning_rate: field_types.LearningRate = 5e-4
    learning_rate_next: field_types.NextLearningRate = 2e-4
    omega: float = Field(30.0, gt=0, description="Frequency factor of the sine layers.")
    coordinates: Literal["isotropic", "per-axis"] = Field(
        "isotropic",
        description="Scale of the coordinates that a network sees. isotropic: the same for all axes, from -1 to 1 along the "
        "longest; per-axis: from 0 to 1 along every axis.",
    )


class FourierSettings(ReluSettings):
    """Settings of ``cn`` with ``encoder="fourier"``."""

    encoder: Literal["fourier"] = Field("fourier", description="Form of the field.")
    bandwidth: float = Field(
        0.06, gt=0, le=0.5, description="Standard deviation of the random frequencies, in cycles per voxel."
    )
    features: int = Field(4, ge=1, le=512, description="Number of random frequencies, divided by 64.")


class GridSettings(ReluSettings):
    """Settings of ``cn`` with ``encoder="grid"``. Without layers the sum of features fits better and faster (measured)."""

    encoder: Literal["grid"] = Field("grid", description="Form of the field.")
    depth: field_types.Depth = 0
    learning_rate: field_types.LearningRate = 0.04
    learning_rate_next: field_types.NextLearningRate = 0.02
    features: field_types.Features = 4
    levels: field_types.Levels = 4


class HashSettings(ReluSettings):
    """Settings of ``cn`` with ``encoder="hash"``. Without layers the sum of features fits better and faster (measured)."""

    encoder: Literal["hash"] = Field("hash", description="Form of the field.")
    depth: field_types.Depth = 0
    learning_rate: field_types.LearningRate = 0.04
    learning_rate_next: field_types.NextLearningRate = 0.02
    features: field_types.Features = 4
    levels: field_types.Levels = 4
    table_size: int = Field(18, ge=4, le=26, description="log2 of the entries in a level's table.")


#: The class of settings of every encoder.
CLASSES: dict[str, type[CNSettings]] = {
    "spline": SplineSettings, "siren": SirenSettings, "fourier": FourierSettings, "grid": GridSettings, "hash": HashSettings,
}  # fmt: skip
