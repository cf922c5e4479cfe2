"""From a measurement to what the denoiser is told of it."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tomoprior.methods.diffusion import trust
from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.measurement import Measurement
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.wiener import NUM_ITER, wiener

#: Rounds of estimate and trust before the estimate that counts, and conjugate gradients of these estimates.
ROUNDS, ROUGH = 2, 12

#: Standard deviation of a face, in voxels, below which the network need not tell two sections apart.
SHARPEST = 0.25


def weigh_tilts(
    data: Measurement, spectrum: Spectrum, inside: torch.Tensor | None = None, *, flat: bool = False
) -> Measurement:
    """The measurement with its tilts trusted as far as they fit with the others: two rounds of estimate and trust."""
    for _ in range(ROUNDS if data.y.shape[-3] > 3 else 0):
        estimate = wiener(data, spectrum, ROUGH, tol=0.0, inside=inside, flat=flat)
        data = replace(data, trust=trust.tilt_weights_from_misfit(data, estimate))
    return data


def condition(
    data: Measurement,
    spectrum: Spectrum,
    inside: torch.Tensor,
    face_std: float | torch.Tensor = 0.0,
    *,
    flat: bool = False,
    num_iter: int = NUM_ITER,
) -> Condition:
    """What the denoiser is told of a series, or of each series of a batch.

    Parameters
    ----------
    inside
        Probability that a voxel lies inside the section; broadcasts over the padded grid ``(..., nz, ny, nx)``.
    face_std
        Standard deviation of the section's faces as they are known, voxels; of a batch ``(batch,)``.
    flat
        Estimate each slice for itself.
    """
    lead = data.y.shape[:-3]
    linear = wiener(data, spectrum, num_iter, tol=0.0, inside=inside, flat=flat)
    numbers = torch.stack([v.expand(lead) for v in _numbers(data, spectrum, face_std)], dim=-1)
    grid = (*lead, *data.A.domain_shape)
    return Condition(linear.contiguous(), inside.to(linear).expand(grid), data.coverage, numbers)


def _numbers(data: Measurement, spectrum: Spectrum, face_std: float | torch.Tensor) -> list[torch.Tensor]:
    """In the order of ``Condition.numbers``; each of the batch's shape, or the same for all."""
    device, lead = data.y.device, data.y.shape[:-3]
    angles = data.A.geometry.angles
    used = torch.where(data.w > 0, data.w, torch.nan).flatten(-3)

    def number(value: float | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=device).reshape(lead if torch.is_tensor(value) else ())

    return [
        number(math.sin(angles.min())),
        number(math.sin(angles.max())),
        number(math.log(len(angles)) / 4),
        number(used.nanmedian(-1).values.rsqrt().log() / 4),
        number(data.scale.vacuum),
        number(math.log(data.A.geometry.voxel_size / spectrum.voxel_size)),
        (SHARPEST + number(face_std)).log() / 2,
    ]
