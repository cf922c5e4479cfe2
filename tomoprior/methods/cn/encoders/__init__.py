"""Encoders of coordinate networks: one module each, behind the interface in ``base``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from tomoprior.errors import SettingsError
from tomoprior.methods.cn.encoders.base import Coordinates, Encoder
from tomoprior.methods.cn.encoders.fourier import Fourier
from tomoprior.methods.cn.encoders.grid import Grid
from tomoprior.methods.cn.encoders.hash import Hash
from tomoprior.methods.cn.encoders.siren import Siren
from tomoprior.methods.cn.settings import CNSettings, NetworkSettings, SirenSettings

#: Frequencies of ``fourier`` per unit of ``settings.features``.
FREQUENCIES_PER_FEATURE = 64

EncoderFactory = Callable[[Any, Coordinates, torch.Generator], Encoder]

#: Factories by the name in ``CNSettings.encoder``; each gets the settings of its encoder.
REGISTRY: dict[str, EncoderFactory] = {
    "siren": lambda s, _, g: Siren(s.width, s.omega, g),
    "fourier": lambda s, c, g: Fourier(c, FREQUENCIES_PER_FEATURE * s.features, s.bandwidth, g),
    "grid": lambda s, c, g: Grid(c, s.levels, s.features, g),
    "hash": lambda s, c, g: Hash(c, s.levels, s.features, s.table_size, g),
}


def make_encoder(settings: CNSettings, extent: tuple[int, int, int], generator: torch.Generator | None = None) -> Encoder:
    """Return the encoder that ``settings`` name, with its first weights.

    Parameters
    ----------
    settings
        Settings of the encoder.
    extent
        Voxels along z, y, x that the network covers: the finest level of ``grid`` and ``hash`` has a node on each.
    generator
        Source of the weights; by default that of ``make_generator``.

    Raises
    ------
    SettingsError
        For the encoder ``spline``, which has no network.
    """
    if settings.encoder not in REGISTRY:
        raise SettingsError(f"encoder {settings.encoder} has no network; those with one are {', '.join(REGISTRY)}")
    assert isinstance(settings, NetworkSettings)
    g = make_generator(settings) if generator is None else generator
    return REGISTRY[settings.encoder](settings, make_coordinates(settings, extent), g)


def make_generator(settings: NetworkSettings) -> torch.Generator:
    """Return a generator with the seed of the settings, or that of the run, which ``torch.manual_seed`` sets."""
    return torch.Generator(device="cpu").manual_seed(torch.initial_seed() if settings.seed is None else settings.seed)


def make_coordinates(settings: NetworkSettings, extent: tuple[int, int, int]) -> Coordinates:
    """Return the coordinates that a network sees; only for sine layers does their scale matter."""
    return Coordinates(extent, settings.coordinates) if isinstance(settings, SirenSettings) else Coordinates(extent)


__all__ = ["REGISTRY", "Coordinates", "Encoder", "make_coordinates", "make_encoder", "make_generator"]
