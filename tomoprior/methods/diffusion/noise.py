"""Random numbers that do not depend on where a volume is cut: a row has its own."""

from __future__ import annotations

import torch

PURPOSES = ("start", "phase", "clean", "data", "offset", "next")


class RowNoise:
    """White noise for one sample of one slab, which gives the same rows whatever slab they are part of.

    Parameters
    ----------
    seed, sample
        Whose numbers these are.
    rows
        The slab's rows in the whole volume; an axis as long as this that stands second of three is the rows'.
    """

    def __init__(self, seed: int, sample: int, rows: range, device: torch.device) -> None:
        self.seed, self.sample, self.rows, self.device = seed, sample, rows, device

    def __call__(self, level: int, purpose: str, shape: tuple[int, ...]) -> torch.Tensor:
        """Standard normal numbers of ``shape``; ``(., rows, .)`` is made row by row."""
        key = ((self.seed * 1009 + self.sample) * 4099 + level) * len(PURPOSES) + PURPOSES.index(purpose)
        if len(shape) != 3:
            return torch.randn(shape, generator=_generator(key, -1)).to(self.device)
        lines = [torch.randn((shape[0], shape[2]), generator=_generator(key, row)) for row in self.rows]
        return torch.stack(lines, dim=1).to(self.device)


def _generator(key: int, row: int) -> torch.Generator:
    return torch.Generator().manual_seed((key * 1_000_003 + row + 1) % 2**63)
