"""What a coordinate network sees of a point: one module per encoder, behind the interface in ``base``."""

from __future__ import annotations

from collections.abc import Callable

import torch

from tomoprior.errors import SettingsError
from tomoprior.methods.cn.encoders.base import Coordinates, Encoder
from tomoprior.methods.cn.encoders.fourier import Fourier
from tomoprior.methods.cn.encoders.grid import Grid
from tomoprior.methods.cn.encoders.hash import Hash
from tomoprior.methods.cn.encoders.siren import Siren
from tomoprior.methods.cn.settings import CNSettings

#: ``fourier`` has this many frequencies to one of ``settings.features``.
FREQUENCIES_PER_FEATURE = 64

EncoderFactory = Callable[[CNSettings, Coordinates, torch.Generator], Encoder]

#: By the name in ``CNSettings.encoder``.
REGISTRY: dict[str, EncoderFactory] = {
    "siren": lambda s, _, g: Siren(s.width, s.omega, g),
    "fourier": lambda s, c, g: Fourier(c, FREQUENCIES_PER_FEATURE * s.features, s.bandwidth, g),
    "grid": lambda s, c, g: Grid(c, s.levels, s.features, g),
    "hash": lambda s, c, g: Hash(c, s.levels, s.features, s.table_size, g),
}


def make_encoder(settings: CNSettings, extent: tuple[int, int, int], generator: torch.Generator | None = None) -> Encoder:
    """The encoder that ``settings`` name, with its first weights.

    Parameters
    ----------
    extent
        Voxels along z, y, x that the network covers: the finest level of ``grid`` and ``hash`` has a node on each.
    generator
        Where the weights come from; by default one seeded with ``settings.seed``.

    Raises
    ------
    SettingsError
        For an encoder that is no network's.
    """
    if settings.encoder not in REGISTRY:
        raise SettingsError(f"encoder {settings.encoder} is not a network's; those are {', '.join(REGISTRY)}")
    g = torch.Generator().manual_seed(settings.seed) if generator is None else generator
    return REGISTRY[settings.encoder](settings, Coordinates(extent, settings.coordinates), g)


__all__ = ["REGISTRY", "Coordinates", "Encoder", "make_encoder"]
