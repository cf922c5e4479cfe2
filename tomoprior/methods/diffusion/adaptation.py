"""Adaptation of the prior's network to one series: a few low-rank steps against held-out tilts."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import nn
from torch.nn.utils import parametrize

from tomoprior.methods.diffusion.conditioning import build_condition
from tomoprior.methods.diffusion.denoiser import Denoiser
from tomoprior.methods.diffusion.measurement_model import MeasurementModel
from tomoprior.methods.diffusion.prior import Prior
from tomoprior.methods.diffusion.section import Section
from tomoprior.methods.diffusion.tiling import TiledDenoiser

#: Rank of the matrix that is added to a layer's weights, and Adam's learning rate.
RANK, LEARNING_RATE = 4, 1e-3

#: Number of parts of the tilts; each part is held out in turn.
N_PARTS = 4


class LowRankUpdate(nn.Module):
    """``W + B A``: a convolution's weights plus a product of two thin matrices, zero at first (LoRA, Hu et al., ICLR 2022)."""

    def __init__(self, weight: torch.Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        rows, columns = weight.shape[0], weight[0].numel()
        random = torch.randn(rank, columns, generator=generator) / math.sqrt(columns)
        self.narrow = nn.Parameter(random.to(weight.device))
        self.wide = nn.Parameter(torch.zeros(rows, rank, device=weight.device))

    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        """Return the weights that the layer uses."""
        return weight + (self.wide @ self.narrow).view(weight.shape)


def adapt_denoiser(
    prior: Prior,
    data: MeasurementModel,
    section: Section,
    steps: int,
    seed: int,
    on_step: Callable[[int, float], None] | None = None,
) -> Denoiser:
    """Return a copy of the prior's denoiser, adapted to a series.

    Every fourth tilt is held out in turn. The network's mean, conditioned on the other tilts, is projected along the held-out
    tilts; the steps reduce the misfit there, weighted by the noise. Fitting the noise of the other tilts does not help there.
    After Steerable Conditional Diffusion (Barbano et al., arXiv:2308.14409), where the loss is the misfit with the tilts
    that condition the network. Here the linear estimate of the condition is solved once for each part, without its tilts.

    Parameters
    ----------
    data, section
        The measurement model with its tilt weights, and the section.
    steps
        Steps of Adam. The result has the weights with the least misfit over all parts, those before the first step included.
    on_step
        Called after every step with its number and the held-out misfit per ray.

    Returns
    -------
    Denoiser
        In evaluation mode; the prior's own denoiser is not changed.
    """
    network = copy.deepcopy(prior.denoiser)
    flat = network.unet.shape.flat
    n = data.y.shape[0]
    parts = [torch.arange(n, device=data.y.device) % N_PARTS == k for k in range(min(N_PARTS, n))]
    inside = section.padded(data.pad)
    with torch.no_grad():
        remaining = [replace(data, tilt_weights=data.tilt_weights * ~part) for part in parts]
        conditions = [build_condition(d, prior.spectrum, inside, section.face_std, flat=flat) for d in remaining]
    held_out = [replace(data, tilt_weights=data.tilt_weights * part) for part in parts]
    generator = torch.Generator().manual_seed(seed)
    for module in list(network.unet.modules()):
        if isinstance(module, nn.Conv3d) and min(module.weight.shape[0], module.weight[0].numel()) > RANK:
            parametrize.register_parametrization(module, "weight", LowRankUpdate(module.weight, RANK, generator))
    parameters = [p for m in network.modules() if isinstance(m, LowRankUpdate) for p in m.parameters()]
    adam = torch.optim.Adam(parameters, lr=LEARNING_RATE)
    denoisers = [TiledDenoiser(network, prior.tile, condition) for condition in conditions]

    def compute_misfit(k: int) -> torch.Tensor:
        r = data.y - data.A(denoisers[k].mean().contiguous())
        used = ((data.w > 0) & parts[k][:, None, None]).sum().clamp_min(1)
        return (r * held_out[k].weighted(r)).sum() / used

    def compute_mean_misfit() -> float:
        with torch.no_grad():
            return sum(float(compute_misfit(k)) for k in range(len(parts))) / len(parts)

    least_misfit, best_values = compute_mean_misfit(), [p.detach().clone() for p in parameters]
    with torch.enable_grad():
        for step in range(steps):
            adam.zero_grad()
            loss = compute_misfit(step % len(parts))
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            adam.step()
            if on_step is not None:
                on_step(step, float(loss.detach()))
            if (step + 1) % len(parts) == 0 or step + 1 == steps:
                misfit = compute_mean_misfit()
                if misfit < least_misfit:
                    least_misfit, best_values = misfit, [p.detach().clone() for p in parameters]
    with torch.no_grad():
        for p, value in zip(parameters, best_values, strict=True):
            p.copy_(value)
    for module in list(network.unet.modules()):
        if isinstance(module, nn.Conv3d) and parametrize.is_parametrized(module):
            parametrize.remove_parametrizations(module, "weight", leave_parametrized=True)
    return network.eval().requires_grad_(False)
