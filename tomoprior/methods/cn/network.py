"""Coordinate networks, and the field that consists of one or several of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from tomoprior.methods.cn.encoders import make_coordinates, make_encoder, make_generator
from tomoprior.methods.cn.encoders.base import Layer
from tomoprior.methods.cn.encoders.siren import sine_bound
from tomoprior.methods.cn.field import Field, check_mask, check_size
from tomoprior.methods.cn.presets import replace_old_activation
from tomoprior.methods.cn.settings import CLASSES, NetworkSettings, ReluSettings, SirenSettings

#: The settings that define a network, and are saved with it.
ARCHITECTURE = (
    "encoder", "width", "depth", "omega", "bandwidth", "features", "levels", "table_size", "coordinates", "min_constraint",
    "activation", "precision",
)  # fmt: skip
#: Factor of the output layer's first weights, for encoders with small features: the output starts near its bias.
OUTPUT_BOUND = 0.1


class CoordinateNetwork(torch.nn.Module):
    """An encoder, hidden layers and one output.

    The layers are ReLUs, or sines after a sine encoder. With ``preset="paper"`` it has 264,449 weights.

    Parameters
    ----------
    settings
        The names in ``ARCHITECTURE``, and ``seed``.
    extent
        Voxels along z, y, x that the network covers.
    """

    def __init__(self, settings: NetworkSettings, extent: tuple[int, int, int]) -> None:
        super().__init__()
        g = make_generator(settings)
        self.coordinates = make_coordinates(settings, extent)
        self.encoder = make_encoder(settings, extent, g)
        self.omega = settings.omega if isinstance(settings, SirenSettings) else 0.0
        self._softplus = settings.output == "softplus"
        # not with sines: bfloat16 puts their arguments off by tenths of radians
        self._half = isinstance(settings, ReluSettings) and settings.precision == "bfloat16"
        self._sizes = sizes = [self.encoder.out_features] + [settings.width] * settings.depth
        self.hidden = torch.nn.ModuleList(Layer(n, m, self._bound(n), g) for n, m in itertools.pairwise(sizes))
        self.output = Layer(sizes[-1], 1, self._bound(sizes[-1]) if self.encoder.sine else OUTPUT_BOUND * sizes[-1] ** -0.5, g)

    def _bound(self, n: int) -> float:
        # ReLU: He et al., ICCV 2015, eq. 10, as the bound of a uniform distribution
        return sine_bound(n, self.omega, first=False) if self.encoder.sine else math.sqrt(6 / n)

    @property
    def n_parameters(self) -> int:
        """Number of trained weights."""
        return sum(p.numel() for p in self.parameters())

    @property
    def features(self) -> int:
        """Numbers per point that an evaluation stores."""
        return sum(self._sizes) + 1

    def set_initial_output(self, value: float) -> None:
        """Set the output's bias so that the output is near ``value`` everywhere."""
        if self._softplus:
            # softplus(b) = value
            value = max(value, 1e-3)
            value = value + math.log(-math.expm1(-value))
        with torch.no_grad():
            self.output.bias.fill_(value)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """Return the values ``(n,)``, float32, at ``(n, 3)`` coordinates."""
        return self._decode(self.encoder(points))

    def on_grid(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the values on a product grid, ``(nz, ny, nx)`` with y fastest in memory.

        Parameters
        ----------
        z, y, x
            Positions in voxels from the centre of the first voxel, ``(nz,)``, ``(ny,)``, ``(nx,)``, float64.
        """
        start, step = self.coordinates.origin, self.coordinates.step
        axes = [at * step[axis] + start[axis] for axis, at in enumerate((z, y, x))]
        values = self._decode(self.encoder.on_grid(axes[0], axes[1], axes[2]))
        return values.reshape(len(z), len(x), len(y)).permute(0, 2, 1)

    def _decode(self, features: torch.Tensor) -> torch.Tensor:
        # encoders, sines and the output need float32: only layers between ReLUs tolerate eight bits
        with torch.autocast(features.device.type, torch.bfloat16, enabled=self._half):
            for layer in self.hidden:
                features = layer(features)
                features = torch.sin(self.omega * features) if self.encoder.sine else torch.relu(features)
        value: torch.Tensor = self.output(features.float())[:, 0]
        return torch.nn.functional.softplus(value) if self._softplus else value


@dataclass(frozen=True)
class NetworkPart:
    """A network and its slices; see ``schedule.NetworkSlab``."""

    network: CoordinateNetwork
    start: int
    stop: int
    first: int
    last: int


class NetworkField(Field):
    """A field of one or several networks, stitched along y.

    ``mask * (background + scale * network)``, without a network's negative values if ``activation`` is "clip". Between the last
    slice of a network and the first slice of the next, the field is interpolated linearly: it is continuous, and equal to
    either network on its slices. Slices that no network covers hold the background. Outside the outermost voxel centres (up to
    half a voxel) the field is constant.

    Parameters
    ----------
    parts
        Networks whose slices do not overlap, in any order.
    shape
        The requested grid ``(nz, ny, nx)``; networks cover ``pad`` more voxels at either end of x.
    settings
        Settings of the networks.
    scale
        Density per voxel of an output of one.
    mask
        Where the field may differ from zero, 0 or 1, ``(nz, ny, nx + 2 pad)``, or None; a point belongs to its nearest voxel.
    """

    kind: ClassVar[str] = "network"

    def __init__(
        self,
        parts: Sequence[NetworkPart],
        shape: tuple[int, int, int],
        settings: NetworkSettings,
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
        """Return the outputs of the networks ``owner`` at ``(n, 3)`` points, with y replaced; 0 where no network exists."""
        out = torch.zeros(len(at), device=at.device)
        local = at.clone()
        for index in torch.unique(owner).tolist():
            if index >= 0:
                part, mine = self.parts[index], owner == index
                local[mine, 1] = y[mine].to(at.dtype) - part.start
                out[mine] = part.network(part.network.coordinates.of_voxels(local[mine]).float())
        return out.clamp_(min=0.0) if self.settings.output == "clip" else out

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return weights and mask; architecture, slices and scales."""
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
        """Restore a field; raises ValueError, KeyError or TypeError for values that describe none."""
        nz, ny, nx = (check_size(n, 1) for n in values["shape"])
        pad = check_size(values["pad"], 0)
        settings = _read_architecture(values["network"])
        parts = []
        for index, numbers in enumerate(values["slices"]):
            start, stop, first, last = (check_size(n, 0) for n in numbers)
            if not start <= first < last <= stop <= ny:
                raise ValueError(f"slices {numbers} do not lie within {ny}")
            weights = {k.partition(".")[2]: v.float() for k, v in arrays.items() if k.startswith(f"{index}.")}
            parts.append(
                NetworkPart(_build_network(settings, (nz, stop - start, nx + 2 * pad), weights), start, stop, first, last)
            )
        mask = arrays.get("mask")
        check_mask(mask, (nz, ny, nx + 2 * pad))
        scale, background = float(values["scale"]), float(values["background"])
        return cls(parts, (nz, ny, nx), settings, scale=scale, background=background, pad=pad, mask=mask)


def _read_architecture(saved: dict[str, Any]) -> NetworkSettings:
    """Return the settings of saved networks, also of those saved when every encoder had all settings."""
    saved = replace_old_activation(dict(saved))
    kind = CLASSES[saved["encoder"]]
    if not issubclass(kind, NetworkSettings):
        raise ValueError(f"encoder {saved['encoder']} has no network")
    if not issubclass(kind, SirenSettings) and saved.get("coordinates") == "per-axis":
        raise ValueError(f"coordinates=per-axis is no longer supported for encoder {saved['encoder']}")
    return kind.model_validate({name: saved[name] for name in ARCHITECTURE if name in kind.model_fields})


def _build_network(
    settings: NetworkSettings, extent: tuple[int, int, int], weights: dict[str, torch.Tensor]
) -> CoordinateNetwork:
    """Return a network with these weights. Nothing is allocated for sizes that a file only claims."""
    with torch.device("meta"):
        network = CoordinateNetwork(settings, extent)
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    actual = {name: tuple(value.shape) for name, value in weights.items()}
    if expected != actual:
        raise ValueError("the weights do not fit the network that the header describes")
    if not all(bool(torch.isfinite(value).all()) for value in weights.values()):
        raise ValueError("weights are not finite")
    network.load_state_dict(weights, assign=True)
    return network.requires_grad_(True)
