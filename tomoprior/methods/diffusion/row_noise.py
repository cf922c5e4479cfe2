"""Random numbers that do not depend on how a volume is cut into slabs: each row has its own generator."""

from __future__ import annotations

import torch

PURPOSES = ("start", "phase", "clean", "data", "offset", "next")


class RowNoise:
    """White noise for one sample of one slab; a row has the same noise in every slab.

    Parameters
    ----------
    seed, sample
        Seed of the run and number of the sample.
    rows
        The slab's rows in the whole volume. They are the second axis of every array with three axes.
    """

    def __init__(self, seed: int, sample: int, rows: range, device: torch.device) -> None:
        self.seed, self.sample, self.rows, self.device = seed, sample, rows, device

    def __call__(self, level: int, purpose: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Return standard normal numbers of ``shape``; those of shape ``(., rows, .)`` are drawn row by row."""
        key = ((self.seed * 1009 + self.sample) * 4099 + level) * len(PURPOSES) + PURPOSES.index(purpose)
        if len(shape) != 3:
            return torch.randn(shape, generator=_make_generator(key, -1)).to(self.device)
        lines = [torch.randn((shape[0], shape[2]), generator=_make_generator(key, row)) for row in self.rows]
        return torch.stack(lines, dim=1).to(self.device)


def _make_generator(key: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((key * 1_000_003 + row + 1) % 2**63)
