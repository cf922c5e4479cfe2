"""Shifts of the tilts that the likelihood of a slab tells: all frequencies of a tilt share its shift."""

from __future__ import annotations

import math

import torch

from tomoprior.methods.diffusion.coefficients import Tilts, move_tilts
from tomoprior.methods.diffusion.slab_likelihood import measure_contrast, slab_covariance
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Independent frequencies among those of a Hann window, share.
INDEPENDENT = 0.26

#: Shifts that every round of alignment leaves to the next, and shifts expected, standard deviations in pixels.
LEFT, SHIFT = (0.4, 0.2, 0.1, 0.05, 0.05), 0.5

#: Steps that are tried in every round, share of the full one.
SHARES = (1.0, 0.5, 0.25, 0.1)


def align_tilts(tilts: Tilts, spectrum: Spectrum, voxel_size: float, thickness: float, height: float) -> tuple[Tilts, float]:
    """The tilts with their most likely shifts undone, and the root mean square of these along x, pixels.

    Fisher scoring of the likelihood of a slab of this thickness, whose middle lies at ``height`` from the axis, voxels. A shift
    that is common to all, or in step with the tangents, moves the specimen and is left.
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
    one = torch.eye(count, dtype=tan.dtype, device=tan.device)
    bases = torch.stack([cos, cos * tan], 1), torch.ones_like(tan)[:, None]
    common = torch.stack([q @ q.T for q in (torch.linalg.qr(basis)[0] for basis in bases)])
    expected = (one - common + 1e-4 * common) / SHIFT**2
    shifts = torch.zeros(2, count, dtype=tan.dtype, device=tan.device)
    shifts[0] = -height * cos * tan  # the slab of the model lies about height 0
    for left in LEFT:
        # what is still to be found acts as noise, or the model would be surer of its slope than it can be
        covariances = [
            K + torch.diag_embed(tilts.noise + left**2 * torch.diagonal(K, dim1=1, dim2=2) * phase.square().sum(0))
            for K, phase in zip(models, phases, strict=True)
        ]
        inverses = [torch.linalg.inv(C) for C in covariances]
        hessian, slope = expected.clone(), (expected @ shifts[..., None])[..., 0]
        for row, phase, C, P in zip(move_tilts(tilts, shifts).rows, phases, covariances, inverses, strict=True):
            number = (2.0 - (row.ky == 0).double())[:, None, None]
            fisher = number * (P * C - one)
            hessian += 2 * INDEPENDENT * (fisher * phase[..., None] * phase[..., None, :]).sum(1)
            # of v^H P v by the phase that is undone; ky has either sign
            turn = 2 * INDEPENDENT * (row.values.conj() * (P.to(row.values.dtype) @ row.values)).imag
            slope += (phase * torch.stack([turn.sum(2), turn[..., 0] - turn[..., 1]])).sum(1)
        step = torch.linalg.solve(hessian, slope[..., None])[..., 0]
        before = _misfit(tilts, shifts, inverses, expected)
        for share in SHARES:
            if _misfit(tilts, shifts - share * step, inverses, expected) < before:
                shifts = shifts - share * step
                break
    shifts = shifts - (common @ shifts[..., None])[..., 0]
    return move_tilts(tilts, shifts), float(shifts[0].square().mean().sqrt())


def _misfit(tilts: Tilts, shifts: torch.Tensor, inverses: list[torch.Tensor], expected: torch.Tensor) -> float:
    """Minus the log posterior of shifts ``(2, n_angles)``, up to a constant."""
    total = 0.5 * float((shifts * (expected @ shifts[..., None])[..., 0]).sum())
    for row, P in zip(move_tilts(tilts, shifts).rows, inverses, strict=True):
        total += INDEPENDENT * float((row.values.conj() * (P.to(row.values.dtype) @ row.values)).real.sum())
    return total
