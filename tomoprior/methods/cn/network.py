"""Coordinate networks, and the field that one or several of them make."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from tomoprior.errors import InputError
from tomoprior.methods.cn.encoders import make_encoder
from tomoprior.methods.cn.encoders.base import Coordinates, Layer
from tomoprior.methods.cn.encoders.siren import sine_bound
from tomoprior.methods.cn.field import Field
from tomoprior.methods.cn.settings import CNSettings

#: The settings that say what a network is, and are kept with it.
ARCHITECTURE = (
    "encoder", "width", "depth", "omega", "bandwidth", "features", "levels", "table_size", "coordinates", "activation",
    "precision",
)  # fmt: skip
#: Bound of the output layer's first weights where features are small: the output starts near its bias.
OUTPUT_BOUND = 0.1


class CoordinateNetwork(torch.nn.Module):
    """An encoder, hidden layers and one output.

    ReLU layers, or sines where the encoder is one: with ``recipe="paper"`` 264,449 weights.

    Parameters
    ----------
    settings
        Of which the names in ``ARCHITECTURE`` count, and ``seed``.
    extent
        Voxels along z, y, x that the network covers.
    """

    def __init__(self, settings: CNSettings, extent: tuple[int, int, int]) -> None:
        super().__init__()
        g = torch.Generator(device="cpu").manual_seed(settings.seed)
        self.coordinates = Coordinates(extent, settings.coordinates)
        self.encoder = make_encoder(settings, extent, g)
        self.omega = settings.omega
        self.activation = settings.activation
        self._half = settings.precision == "bfloat16"
        if self._half and self.encoder.sine:
            raise InputError("siren needs precision=float32: bfloat16 puts its sines' arguments off by tenths of radians")
        self._sizes = sizes = [self.encoder.out_features] + [settings.width] * settings.depth
        self.hidden = torch.nn.ModuleList(Layer(n, m, self._bound(n), g) for n, m in itertools.pairwise(sizes))
        self.output = Layer(sizes[-1], 1, self._bound(sizes[-1]) if self.encoder.sine else OUTPUT_BOUND * sizes[-1] ** -0.5, g)

    def _bound(self, n: int) -> float:
        # ReLU: He et al., ICCV 2015, eq. 10, as the bound of a uniform distribution
        return sine_bound(n, self.omega, first=False) if self.encoder.sine else math.sqrt(6 / n)

    @property
    def n_parameters(self) -> int:
        """Trained weights."""
        return sum(p.numel() for p in self.parameters())

    @property
    def features(self) -> int:
        """Numbers that an evaluation leaves per point."""
        return sum(self._sizes) + 1

    def start_at(self, value: float) -> None:
        """Set the output's bias so that the output is near ``value`` everywhere."""
        if self.activation == "softplus":
            # softplus(b) = value
            value = max(value, 1e-3)
            value = value + math.log(-math.expm1(-value))
        with torch.no_grad():
            self.output.bias.fill_(value)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Values at ``(n, 3)`` coordinates: ``(n,)``, float32."""
        return self._decode(self.encoder(points))

    def on_grid(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Values on a product grid, ``(nz, ny, nx)`` with y fastest in memory.

        Parameters
        ----------
        z, y, x
            Positions in voxels from the first voxel's middle, ``(nz,)``, ``(ny,)``, ``(nx,)``, float64.
        """
        start, step = self.coordinates.origin, self.coordinates.step
        axes = [at * step[axis] + start[axis] for axis, at in enumerate((z, y, x))]
        values = self._decode(self.encoder.on_grid(axes[0], axes[1], axes[2]))
        return values.reshape(len(z), len(x), len(y)).permute(0, 2, 1)

    def _decode(self, features: torch.Tensor) -> torch.Tensor:
        # encoders, sines and the output are computed in float32: only layers between ReLUs bear eight bits
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._half):
            for layer in self.hidden:
                features = layer(features)
                features = torch.sin(self.omega * features) if self.encoder.sine else torch.relu(features)
        value: torch.Tensor = self.output(features.float())[:, 0]
        return torch.nn.functional.softplus(value) if self.activation == "softplus" else value


@dataclass(frozen=True)
class NetworkPart:
    """A network and its slices; see ``schedule.Slab``."""

    network: CoordinateNetwork
    start: int
    stop: int
    first: int
    last: int


class NetworkField(Field):
    """A field of one or several networks, stitched along y.

    ``mask * (background + scale * network)``, without a network's negative values where its activation is "bound". Between
    the last slice of a network and the first one of the next the field is interpolated linearly: it is continuous, and equal
    to either network on its slices. Slices that no network covers hold the background. Half a voxel beyond the outermost
    voxels' middles the field is what it is there.

    Parameters
    ----------
    parts
        Networks with slices that do not overlap, in any order.
    shape
        The grid ``(nz, ny, nx)`` that was asked for; networks cover ``pad`` more voxels at either end of x.
    settings
        Of the networks.
    scale
        Density, per voxel, of an output of one.
    mask
        Where the field may differ from zero, 0 or 1, ``(nz, ny, nx + 2 pad)``, or None; a point belongs to its nearest voxel.
    """

    kind: ClassVar[str] = "network"

    def __init__(
        self,
        parts: Sequence[NetworkPart],
        shape: tuple[int, int, int],
        settings: CNSettings,
        *,
        scale: float,
        background: float = 0.0,
        pad: int = 0,
        mask: torch.Tensor | None = None,
        device: torch.device | None = None,
    ) -> None:
        self.parts = sorted(parts, key=lambda part: part.first)
        self.shape, self.settings, self.scale, self.background, self.pad = shape, settings, scale, background, pad
        self.mask = mask
        self.device = device or (self.parts[0].network.output.bias.device if self.parts else torch.device("cpu"))
        self._owner = torch.full((shape[1],), -1, device=self.device)
        for index, part in enumerate(self.parts):
            self._owner[part.first : part.last] = index

    def _evaluate(self, points: torch.Tensor) -> torch.Tensor:
        nz, ny, nx = self.shape
        limit = points.new_tensor([nz - 1, ny - 1, nx + 2 * self.pad - 1])
        at = (points + points.new_tensor([0, 0, self.pad])).clamp(torch.zeros_like(limit), limit)
        low = at[:, 1].floor().long()
        high = (low + 1).clamp(max=ny - 1)
        seam = (self._owner[low] != self._owner[high]) & (at[:, 1] > low)
        out = self._networks(at, self._owner[low], torch.where(seam, low, at[:, 1]))
        if bool(seam.any()):
            fraction = (at[seam, 1] - low[seam]).float()
            beyond = self._networks(at[seam], self._owner[high[seam]], high[seam])
            out[seam] = (1 - fraction) * out[seam] + fraction * beyond
        out = self.background + self.scale * out
        if self.mask is not None:
            z, y, x = at.round().long().unbind(1)
            out = out * self.mask.expand(nz, ny, -1)[z, y, x]
        return out

    def _networks(self, at: torch.Tensor, owner: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Outputs at ``(n, 3)`` points, whose y is replaced, of the networks of index ``owner``; 0 where there is none."""
        out = torch.zeros(len(at), device=at.device)
        local = at.clone()
        for index in torch.unique(owner).tolist():
            if index >= 0:
                part, mine = self.parts[index], owner == index
                local[mine, 1] = y[mine].to(at.dtype) - part.start
                out[mine] = part.network(part.network.coordinates.of_voxels(local[mine]).float())
        return out.clamp_(min=0.0) if self.settings.activation == "bound" else out

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Weights and mask; architecture, slices and scales."""
        arrays = {f"{i}.{k}": v for i, part in enumerate(self.parts) for k, v in part.network.state_dict().items()}
        if self.mask is not None:
            nz, ny, nx = self.shape
            arrays["mask"] = self.mask.expand(nz, ny, nx + 2 * self.pad)
        return arrays, {
            "network": self.settings.model_dump(include=set(ARCHITECTURE)),
            "slices": [[part.start, part.stop, part.first, part.last] for part in self.parts],
            "scale": self.scale,
            "background": self.background,
            "pad": self.pad,
        }

    @classmethod
    def from_state(cls, arrays: dict[str, torch.Tensor], values: dict[str, Any]) -> NetworkField:
        """Inverse of ``state``; raises ValueError, KeyError or TypeError for what cannot be one."""
        nz, ny, nx = (_check_size(n, 1) for n in values["shape"])
        pad = _check_size(values["pad"], 0)
        settings = CNSettings.model_validate({name: values["network"][name] for name in ARCHITECTURE})
        parts = []
        for index, numbers in enumerate(values["slices"]):
            start, stop, first, last = (_check_size(n, 0) for n in numbers)
            if not start <= first < last <= stop <= ny:
                raise ValueError(f"slices {numbers} do not lie within {ny}")
            given = {k.partition(".")[2]: v.float() for k, v in arrays.items() if k.startswith(f"{index}.")}
            parts.append(
                NetworkPart(_build_network(settings, (nz, stop - start, nx + 2 * pad), given), start, stop, first, last)
            )
        mask = arrays.get("mask")
        if mask is not None and tuple(mask.shape) != (nz, ny, nx + 2 * pad):
            raise ValueError(f"a mask of shape {tuple(mask.shape)} does not fit a grid of {(nz, ny, nx)}")
        scale, background = float(values["scale"]), float(values["background"])
        return cls(parts, (nz, ny, nx), settings, scale=scale, background=background, pad=pad, mask=mask)


def _check_size(value: Any, least: int) -> int:
    if not isinstance(value, int) or value < least:
        raise ValueError(f"{value!r} is no size")
    return value


def _build_network(settings: CNSettings, extent: tuple[int, int, int], given: dict[str, torch.Tensor]) -> CoordinateNetwork:
    """A network with the weights given. Nothing is allocated for sizes that a file only claims."""
    with torch.device("meta"):
        network = CoordinateNetwork(settings, extent)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in given.items()}
    if expected != found:
        raise ValueError("the weights do not fit the network that the header describes")
    if not all(bool(torch.isfinite(value).all()) for value in given.values()):
        raise ValueError("weights are not finite")
    network.load_state_dict(given, assign=True)
    return network.requires_grad_(True)
