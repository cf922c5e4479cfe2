"""An encoder of sines: the first layer turns coordinates into waves; the decoder has the other sine layers."""

from __future__ import annotations

import math
from typing import ClassVar

import torch

from tomoprior.methods.cn.encoders.base import Encoder, Layer


def sine_bound(n_in: int, omega: float, *, first: bool) -> float:
    """Return the bound of the uniform weights of a sine layer.

    ``1 / n`` for the first, so that ``omega`` sets the band of frequencies, and ``sqrt(6 / n) / omega`` for the others, which
    keeps the arguments of all sines standard normal: Sitzmann et al., NeurIPS 2020, section 3.2 and supplement 1.5.
    """
    return 1 / n_in if first else math.sqrt(6 / n_in) / omega


class Siren(Encoder):
    """``sin(omega (W r + b))``: Sitzmann et al., NeurIPS 2020, eq. 4."""

    sine: ClassVar[bool] = True

    def __init__(self, width: int, omega: float, generator: torch.Generator) -> None:
        super().__init__()
        self.out_features, self.omega = width, omega
        self.layer = Layer(3, width, sine_bound(3, omega, first=True), generator)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        """See ``Encoder.forward``."""
        return torch.sin(self.omega * self.layer(points))
