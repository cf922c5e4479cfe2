"""The denoiser's condition, computed from the measurement model: linear estimate, section, coverage, seven numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tomoprior.methods.diffusion.denoiser import Condition
from tomoprior.methods.diffusion.measurement_model import MeasurementModel
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tilt_weights import tilt_weights_from_misfit
from tomoprior.methods.diffusion.wiener import NUM_ITER, solve_wiener

#: Rounds of estimate and tilt weights before the final estimate, and conjugate gradients of each of these estimates.
ROUNDS, ROUGH_NUM_ITER = 2, 12

#: Added to a face's standard deviation, voxels: below it the network need not distinguish two sections.
FACE_STD_OFFSET = 0.25


def weigh_tilts(
    data: MeasurementModel, spectrum: Spectrum, inside: torch.Tensor | None = None, *, flat: bool = False
) -> MeasurementModel:
    """Return the model with tilt weights, from two rounds of a rough estimate and its misfit with each tilt."""
    for _ in range(ROUNDS if data.y.shape[-3] > 3 else 0):
        estimate = solve_wiener(data, spectrum, ROUGH_NUM_ITER, tol=0.0, inside=inside, flat=flat)
        data = replace(data, tilt_weights=tilt_weights_from_misfit(data, estimate))
    return data


def build_condition(
    data: MeasurementModel,
    spectrum: Spectrum,
    inside: torch.Tensor,
    face_std: float | torch.Tensor = 0.0,
    *,
    flat: bool = False,
    num_iter: int = NUM_ITER,
) -> Condition:
    """Return the denoiser's condition for a series, or for each series of a batch.

    Parameters
    ----------
    inside
        Probability that a voxel lies inside the section; broadcasts over the padded grid ``(..., nz, ny, nx)``.
    face_std
        Standard deviation of the section's faces, voxels; ``(batch,)`` for a batch.
    flat
        Estimate each slice on its own.
    """
    batch = data.y.shape[:-3]
    linear = solve_wiener(data, spectrum, num_iter, tol=0.0, inside=inside, flat=flat)
    numbers = torch.stack([v.expand(batch) for v in _compute_numbers(data, spectrum, face_std)], dim=-1)
    grid = (*batch, *data.A.domain_shape)
    return Condition(linear.contiguous(), inside.to(linear).expand(grid), data.coverage, numbers)


def _compute_numbers(data: MeasurementModel, spectrum: Spectrum, face_std: float | torch.Tensor) -> list[torch.Tensor]:
    """Return the numbers in the order of ``Condition.numbers``, each of the batch's shape or a scalar for all series."""
    device, batch = data.y.device, data.y.shape[:-3]
    angles = data.A.geometry.angles
    used = torch.where(data.w > 0, data.w, torch.nan).flatten(-3)

    def to_tensor(value: float | torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(value, dtype=torch.float32, device=device).reshape(batch if torch.is_tensor(value) else ())

    return [
        to_tensor(math.sin(angles.min())),
        to_tensor(math.sin(angles.max())),
        to_tensor(math.log(len(angles)) / 4),
        to_tensor(used.nanmedian(-1).values.rsqrt().log() / 4),
        to_tensor(data.scale.vacuum_value),
        to_tensor(math.log(data.A.geometry.voxel_size / spectrum.voxel_size)),
        (FACE_STD_OFFSET + to_tensor(face_std)).log() / 2,
    ]
