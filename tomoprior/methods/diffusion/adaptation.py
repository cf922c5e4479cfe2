"""The prior's network fitted to one series: a few low-rank steps on tilts that it is not shown."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn.utils import parametrize

from tomoprior.methods.diffusion.conditioning import condition
from tomoprior.methods.diffusion.denoiser import Condition, Denoiser
from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.section import KnownSection
from tomoprior.methods.diffusion.tiling import TiledDenoiser

#: Rank of what is added to a layer's weights, and the rate of Adam.
RANK, RATE = 4, 1e-3

#: Parts that the tilts are split into; each is held out in turn.
PARTS = 4


class LowRank(nn.Module):
    """``W + B A``: a convolution's weights and a product of two thin matrices, zero at first (LoRA, Hu et al., ICLR 2022)."""

    def __init__(self, weight: torch.Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        start = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
        self.narrow = nn.Parameter(start.to(weight.device))
        self.wide = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """The weights that the layer uses."""
        return weight + (self.wide @ self.narrow).view(weight.shape)


def adapt_denoiser(
    prior: Prior,
    data: Measurement,
    section: KnownSection,
    steps: int,
    seed: int,
    each: Callable[[int, float], None] | None = None,
) -> Denoiser:
    """A copy of the prior's denoiser, adapted to a series.

    Every fourth tilt is held out in turn: the network's mean given the others is projected along those, and its misfit with
    them, weighed by their noise, is what the steps reduce. Noise that it fits in the tilts that it is shown does not help
    there. After Steerable Conditional Diffusion (Barbano et al., arXiv:2308.14409), whose loss is the misfit with the tilts
    that condition the network; the estimate that it is conditioned on is solved anew for each part, once.

    Parameters
    ----------
    data, section
        The series in the prior's units, its tilts weighed, and where the section lies.
    steps
        Steps of Adam; the weights before the step of least misfit over all parts are kept, the first included.
    each
        Called after every step with its number and the held-out misfit per ray.

    Returns
    -------
    Denoiser
        In evaluation mode; the prior's own is not changed.
    """
    network = copy.deepcopy(prior.denoiser)
    flat = network.unet.shape.flat
    n = data.y.shape[0]
    parts = [torch.arange(n, device=data.y.device) % PARTS == k for k in range(min(PARTS, n))]
    inside = section.padded(data.pad)
    with torch.no_grad():
        shown = [replace(data, trust=data.trust * ~part) for part in parts]
        told: list[Condition] = [condition(d, prior.spectrum, inside, section.face_std, flat=flat) for d in shown]
    held_out = [replace(data, trust=data.trust * part) for part in parts]
    generator = torch.Generator().manual_seed(seed)
    for module in list(network.unet.modules()):
        if isinstance(module, nn.Conv3d) and min(module.weight.shape[0], module.weight[0].numel()) > RANK:
            parametrize.register_parametrization(module, "weight", LowRank(module.weight, RANK, generator))
    added = [p for m in network.modules() if isinstance(m, LowRank) for p in m.parameters()]
    adam = torch.optim.Adam(added, lr=RATE)
    runs = [TiledDenoiser(network, prior.tile, c) for c in told]

    def misfit(k: int) -> torch.Tensor:
        r = data.y - data.A(runs[k].mean().contiguous())
        used = ((data.w > 0) & parts[k][:, None, None]).sum().clamp_min(1)
        return (r * held_out[k].weighted(r)).sum() / used

    def whole() -> float:
        with torch.no_grad():
            return sum(float(misfit(k)) for k in range(len(parts))) / len(parts)

    best, kept = whole(), [p.detach().clone() for p in added]
    with torch.enable_grad():
        for step in range(steps):
            adam.zero_grad()
            loss = misfit(step % len(parts))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(added, 1.0)
            adam.step()
            if each is not None:
                each(step, float(loss.detach()))
            if (step + 1) % len(parts) == 0 or step + 1 == steps:
                value = whole()
                if value < best:
                    best, kept = value, [p.detach().clone() for p in added]
    with torch.no_grad():
        for p, weights in zip(added, kept, strict=True):
            p.copy_(weights)
    for module in list(network.unet.modules()):
        if isinstance(module, nn.Conv3d) and parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network.eval().requires_grad_(False)
