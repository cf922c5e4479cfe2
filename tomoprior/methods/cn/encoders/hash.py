"""An encoder of feature grids whose fine levels share a table of limited size."""

from __future__ import annotations

import torch

from tomoprior.methods.cn.encoders.base import Coordinates
from tomoprior.methods.cn.encoders.grid import Grid, Level

#: Multipliers of the spatial hash along the three axes: Mueller et al. 2022, eq. 4.
PRIMES = (1, 2654435761, 805459861)


class HashedLevel(Level):
    """A level with more nodes than entries in its table: nodes with the same entry share a value."""

    def __init__(
        self, coordinates: Coordinates, spacing: int, features: int, generator: torch.Generator, table_size: int
    ) -> None:
        self._entries: int = 2**table_size
        super().__init__(coordinates, spacing, features, generator)

    @property
    def entries(self) -> int:
        """Number of stored values per feature."""
        return self._entries

    def entry(self, z: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """Return the index at which the values of nodes are stored; broadcasts."""
        a, b, c = PRIMES
        entry: torch.Tensor = ((x * a) ^ (y * b) ^ (z * c)) & (self._entries - 1)
        return entry

    def block(self, low: list[int], high: list[int]) -> torch.Tensor:
        """Look up every node once, not eight times per point; see ``Level.block``."""
        z, y, x = (torch.arange(a, b, device=self.values.device) for a, b in zip(low, high, strict=True))
        entry = self.entry(z[:, None, None], y, x[:, None])
        return self.values.index_select(1, entry.flatten()).reshape(-1, *entry.shape)


class Hash(Grid):
    """Multi-resolution hash encoding: Mueller et al., ACM Trans. Graph. 41 (2022) 102, section 3.

    Levels that fit their table are dense. The spacings are those of ``Grid``.
    """

    def __init__(
        self, coordinates: Coordinates, levels: int, features: int, table_size: int, generator: torch.Generator
    ) -> None:
        self._table_size = table_size
        super().__init__(coordinates, levels, features, generator)

    def _level(self, coordinates: Coordinates, spacing: int, features: int, generator: torch.Generator) -> Level:
        nodes = 1
        for n in coordinates.extent:
            nodes *= (n - 1 + spacing - 1) // spacing + 1
        if nodes <= 2**self._table_size:
            return Level(coordinates, spacing, features, generator)
        return HashedLevel(coordinates, spacing, features, generator, self._table_size)
