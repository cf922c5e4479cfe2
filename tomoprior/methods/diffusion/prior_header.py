"""Schema of the header of a prior's file. Users exchange such files, so that every value has a type and bounds."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, ClassVar, Literal, Self, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from tomoprior.methods.diffusion.denoiser import CHANNELS, FEATURES
from tomoprior.methods.diffusion.error_network import ERROR_CHANNELS, ERROR_FEATURES
from tomoprior.methods.learning.unet import Shape, UNet
from tomoprior.units import UNITS

#: Key of the header's text in the file.
HEADER_KEY = "tomoprior_prior"

#: First part of the names of the error network's tensors in the file.
ERROR_PREFIX = "error_network."

#: Version of the file: the network's inputs and the layout of its layers.
VERSION = 3

#: Largest number of rows of a table, of characters of the header, and of voxels of a tile.
MAX_ROWS, MAX_CHARACTERS, MAX_TILE_VOXELS = 1000, 1_000_000, 2**27

#: A finite number above zero that neither overflows nor vanishes in single precision.
Positive = Annotated[float, Field(ge=1e-12, le=1e12)]
Degrees = Annotated[float, Field(gt=0, le=360)]
Factor = Annotated[float, Field(gt=0, le=1000)]
Edge = Annotated[int, Field(ge=1, le=4096)]
CalibrationTable = Annotated[tuple[tuple[Degrees, Factor, Factor, Factor], ...], Field(max_length=MAX_ROWS)]

Model = TypeVar("Model", bound=BaseModel)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


class NetworkShape(_Part):
    """Bounds of ``learning.unet.Shape``."""

    widths: Annotated[tuple[Annotated[int, Field(ge=1, le=1024)], ...], Field(min_length=1, max_length=8)]
    blocks: Annotated[tuple[Annotated[int, Field(ge=0, le=16)], ...], Field(min_length=1, max_length=8)]
    embedding: int = Field(ge=1, le=1024)
    flat: bool
    separable: bool

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        if len(self.widths) != len(self.blocks):
            raise ValueError("widths and blocks differ in length")
        return self


class SpectrumTable(_Part):
    """Bounds of ``Spectrum``."""

    k: Annotated[tuple[Annotated[float, Field(ge=1e-6, le=10)], ...], Field(min_length=2, max_length=MAX_ROWS)]
    power: Annotated[tuple[Positive, ...], Field(min_length=2, max_length=MAX_ROWS)]
    voxel_size: Positive

    @model_validator(mode="after")
    def _check_table(self) -> Self:
        if len(self.k) != len(self.power):
            raise ValueError("k and power differ in length")
        _check_rising("k", self.k)
        return self


class PriorHeader(_Part):
    """All values of a prior's file except the weights; see ``Prior`` for their meaning."""

    version: Literal[3]
    shape: NetworkShape
    tile: tuple[Edge, Edge, Edge]
    spectrum: SpectrumTable
    voxel_sizes: tuple[Positive, Positive]
    unit: str
    ranges: tuple[Degrees, Degrees]
    errors: Annotated[tuple[tuple[Positive, Positive], ...], Field(max_length=MAX_ROWS)]
    calibration: CalibrationTable
    data_weight: float = Field(ge=0, le=1)
    error_shape: NetworkShape | None = None
    error_calibration: CalibrationTable = ()
    card: dict[str, JsonValue]

    #: Element types that the weights may have in the file.
    DTYPES: ClassVar = ("F16", "BF16", "F32")

    @model_validator(mode="after")
    def _check_values(self) -> Self:
        if self.unit not in UNITS:
            raise ValueError(f"unit is not one of {', '.join(UNITS)}")
        for name, (low, high) in (("voxel_sizes", self.voxel_sizes), ("ranges", self.ranges)):
            if low > high:
                raise ValueError(f"{name} are not in rising order")
        _check_rising("noise levels of errors", tuple(row[0] for row in self.errors))
        for table in (self.calibration, self.error_calibration):
            _check_rising("ranges of calibration", tuple(row[0] for row in table))
        if self.error_calibration and self.error_shape is None:
            raise ValueError("error_calibration needs an error network")
        z, y, x = self.tile
        if z * y * x > MAX_TILE_VOXELS:
            raise ValueError(f"a tile has more than {MAX_TILE_VOXELS} voxels")
        return self

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the header in a JSON text.

        Raises
        ------
        ValueError
            With the first invalid value and the reason, on one line.
        """
        return _parse(cls, text)

    def check_tensors(self, tensors: dict[str, tuple[tuple[int, ...], str]]) -> None:
        """Compare shapes and types of a file's tensors with those of the network, which is not allocated.

        Parameters
        ----------
        tensors
            Shape and element type of each tensor in the file, by name.

        Raises
        ------
        ValueError
            With the first difference.
        """
        with torch.device("meta"):  # no memory is allocated for the sizes that the file claims
            unet = UNet(CHANNELS, FEATURES, Shape.from_dict(self.shape.model_dump()))
            error_unet = None
            if self.error_shape is not None:
                error_unet = UNet(ERROR_CHANNELS, ERROR_FEATURES, Shape.from_dict(self.error_shape.model_dump()))
        networks = {"unet.": unet} | ({} if error_unet is None else {f"{ERROR_PREFIX}unet.": error_unet})
        expected = {
            prefix + name: tuple(value.shape)
            for prefix, network in networks.items()
            for name, value in network.state_dict().items()
        }
        for name in sorted(expected.keys() ^ tensors.keys()):
            raise ValueError(f"tensor {name[:60]!a} is {'missing' if name in expected else 'not part of the network'}")
        for name, (shape, dtype) in tensors.items():
            if shape != expected[name]:
                raise ValueError(f"tensor {name} has the shape {shape}, the network needs {expected[name]}")
            if dtype not in self.DTYPES:
                raise ValueError(f"tensor {name} has elements of type {dtype}, not {', '.join(self.DTYPES)}")
        for network in networks.values():
            if any(edge % multiple for edge, multiple in zip(self.tile, network.multiple, strict=True)):
                raise ValueError(f"tile {self.tile} is not a multiple of {network.multiple}")


class _Version(BaseModel):
    model_config = ConfigDict(strict=True)
    version: int


def parse_version(text: str) -> int:
    """Return the version in a header's JSON text; raises ValueError like ``PriorHeader.parse``."""
    return _parse(_Version, text).version


def _parse(model: type[Model], text: str) -> Model:
    if len(text) > MAX_CHARACTERS:
        raise ValueError(f"its header has more than {MAX_CHARACTERS} characters")
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(ascii(part).strip("'") for part in first["loc"]) or "header"
        raise ValueError(f"{place[:60]}: {first['msg']}") from None


def _check_rising(name: str, values: tuple[float, ...]) -> None:
    if any(a >= b for a, b in pairwise(values)):
        raise ValueError(f"{name} do not rise")
