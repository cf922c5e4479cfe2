"""Alignment of the tilts by the likelihood of a slab: all frequencies of a tilt share its shift."""

from __future__ import annotations

import math

import torch

from tomoprior.methods.diffusion.slab_likelihood import measure_contrast, slab_covariance
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tilt_coefficients import Tilts, shift_tilts

#: Share of a Hann window's frequencies that are independent.
INDEPENDENT_SHARE = 0.26

#: Standard deviations in pixels: of the shifts that remain in each round of the alignment, and of the shifts before it.
REMAINING_STDS, SHIFT_STD = (0.4, 0.2, 0.1, 0.05, 0.05), 0.5

#: Step lengths that each round tries, as shares of the full step.
STEP_SHARES = (1.0, 0.5, 0.25, 0.1)


def align_tilts(tilts: Tilts, spectrum: Spectrum, voxel_size: float, thickness: float, height: float) -> tuple[Tilts, float]:
    """Undo the most likely shifts of the tilts; return the tilts and the root mean square shift along x, pixels.

    The shifts are found by Fisher scoring of the likelihood of a slab of this thickness whose middle lies at ``height`` from
    the axis, voxels. A shift that is common to all tilts, or proportional to the tangents, moves the specimen and is not
    changed.
    """
    tan, cos, count = tilts.tan, tilts.cos, len(tilts.tan)
    thick = tan.new_tensor([thickness])
    level = measure_contrast(tilts, spectrum, voxel_size, thickness)
    models = [level * slab_covariance(tilts, row, spectrum, voxel_size, thick)[0] for row in tilts.rows]
    # radians a pixel, (2, n_ky, n_angles) along x and y
    phases = [
        2 * math.pi * torch.stack([(row.kx / cos).expand(len(row.ky), -1), row.ky[:, None].expand(-1, count)])
        for row in tilts.rows
    ]
    identity = torch.eye(count, dtype=tan.dtype, device=tan.device)
    bases = torch.stack([cos, cos * tan], 1), torch.ones_like(tan)[:, None]
    common = torch.stack([q @ q.T for q in (torch.linalg.qr(basis)[0] for basis in bases)])
    precision = (identity - common + 1e-4 * common) / SHIFT_STD**2
    shifts = torch.zeros(2, count, dtype=tan.dtype, device=tan.device)
    shifts[0] = -height * cos * tan  # the slab of the model lies about height 0
    for std in REMAINING_STDS:
        # shifts that remain act as noise, otherwise the model would overrate the precision of its gradient
        covariances = [
            K + torch.diag_embed(tilts.noise + std**2 * torch.diagonal(K, dim1=1, dim2=2) * phase.square().sum(0))
            for K, phase in zip(models, phases, strict=True)
        ]
        inverses = [torch.linalg.inv(C) for C in covariances]
        hessian, gradient = precision.clone(), (precision @ shifts[..., None])[..., 0]
        for row, phase, C, P in zip(shift_tilts(tilts, shifts).rows, phases, covariances, inverses, strict=True):
            n_signs = (2.0 - (row.ky == 0).double())[:, None, None]
            fisher = n_signs * (P * C - identity)
            hessian += 2 * INDEPENDENT_SHARE * (fisher * phase[..., None] * phase[..., None, :]).sum(1)
            # derivative of v^H P v by the phase of the shift, for both signs of ky
            slope = 2 * INDEPENDENT_SHARE * (row.values.conj() * (P.to(row.values.dtype) @ row.values)).imag
            gradient += (phase * torch.stack([slope.sum(2), slope[..., 0] - slope[..., 1]])).sum(1)
        step = torch.linalg.solve(hessian, gradient[..., None])[..., 0]
        before = _compute_misfit(tilts, shifts, inverses, precision)
        for share in STEP_SHARES:
            if _compute_misfit(tilts, shifts - share * step, inverses, precision) < before:
                shifts = shifts - share * step
                break
    shifts = shifts - (common @ shifts[..., None])[..., 0]
    return shift_tilts(tilts, shifts), float(shifts[0].square().mean().sqrt())


def _compute_misfit(tilts: Tilts, shifts: torch.Tensor, inverses: list[torch.Tensor], precision: torch.Tensor) -> float:
    """Return minus the log posterior of shifts ``(2, n_angles)``, up to a constant."""
    total = 0.5 * float((shifts * (precision @ shifts[..., None])[..., 0]).sum())
    for row, P in zip(shift_tilts(tilts, shifts).rows, inverses, strict=True):
        total += INDEPENDENT_SHARE * float((row.values.conj() * (P.to(row.values.dtype) @ row.values)).real.sum())
    return total
