"""Likelihood of a Gaussian slab's thickness and height, given the coefficients of its tilts.

A stationary Gaussian field f with the tissue's spectrum S is cut to a slab of thickness T about the height h. At x' a tilt
shows the integral of f(x' + z tan(theta), z) over z, so two tilts i and j at the frequency (kx, ky) have the covariance

    exp(2 pi i kx h (tan_i - tan_j)) int S(kx, ky, kz) a(kz + kx tan_i) a(kz + kx tan_j) dkz,  a(q) = T sinc(T q),

and the noise of pixels and shifts on its diagonal.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.diffusion.coefficients import Coefficients, Tilts
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Borders between bands in cycles per pixel, each of which has a contrast of its own: spectrum and blur are not quite known.
BORDERS = (0.06, 0.10, 0.14)

#: Standard deviation of the faces about their mean heights, voxels: roughness and a voxel's width.
ROUGHNESS = 1.0

#: Of the point spread, pixels.
BLUR = 0.6

#: Contrast squared in a band over what the tilts' power says, and standard deviations of shifts in pixels.
CONTRASTS = np.exp(np.linspace(-0.8, 0.8, 17))
JITTERS = (0.0, 0.1, 0.2, 0.3, 0.45, 0.65)

#: Exponent of the likelihood of thickness and height: tissue is not Gaussian. Calibrated on simulated sections.
TEMPER = 0.06


def log_likelihood(
    tilts: Tilts, spectrum: Spectrum, voxel_size: float, grid: NDArray[np.float64], places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Log likelihood ``(n_thicknesses, n_places)``, and the shifts' root mean square there, pixels.

    For every thickness and frequency the covariance is ``g K + n``, where K is real for a slab about height 0; its
    eigenvectors serve all contrasts, shifts and heights. Contrast is integrated out in every band, the shifts over all.
    """
    device = tilts.tan.device
    level = measure_contrast(tilts, spectrum, voxel_size, float(grid.mean()))
    thick = torch.from_numpy(grid).to(device)
    z = torch.from_numpy(places).to(device)
    # g T is what the tilts' power tells: a thinner section has more contrast
    g = level * float(grid.mean()) / thick[:, None] * torch.from_numpy(CONTRASTS).to(device)  # (T, g)
    jitter = torch.tensor(JITTERS, dtype=torch.float64, device=device)
    shape = (len(BORDERS) + 1, len(grid), len(CONTRASTS), len(JITTERS), len(places))
    log = torch.zeros(shape, dtype=torch.float64, device=device)
    for row in tilts.rows:
        K = slab_covariance(tilts, row, spectrum, voxel_size, thick)  # (T, ky, i, j)
        own = torch.diagonal(K, dim1=2, dim2=3)
        moved = (2 * math.pi) ** 2 * ((row.kx / tilts.cos) ** 2 + row.ky[:, None] ** 2)  # (ky, i)
        typical = level * own[len(grid) // 2] * moved
        # noise and shifts differ little in how they depend on the tilt, so one diagonal serves for all mixtures of them
        D = tilts.noise + 0.2**2 * typical
        root = D.sqrt()
        values, vectors = torch.linalg.eigh(K / (root[:, :, None] * root[:, None, :]))
        values = values.clamp_min(0)
        turned = torch.polar(torch.ones_like(z)[:, None], -2 * math.pi * row.kx * z[:, None] * tilts.tan)  # (z, i)
        y = (row.values / root[..., None])[:, :, None] * turned.T[:, :, None]  # (ky, i, z, 2)
        flat = torch.view_as_real(y).flatten(2)
        seen = (vectors.transpose(2, 3) @ flat).unflatten(3, (len(z), 4)).square().sum(4)  # (T, ky, i, z)
        number = 2.0 - (row.ky == 0).double()
        extra = (g[:, :, None, None] * (own * moved).div(D).mean(2)[:, None, None, :]) * jitter[:, None] ** 2
        n = (tilts.noise / D).mean(1) + extra  # (T, g, jitter, ky)
        total = g[:, :, None, None, None] * values[:, None, None] + n[..., None]  # (T, g, jitter, ky, i)
        logs = total.log().sum(4) * number
        band = torch.bucketize((row.kx**2 + row.ky**2).sqrt(), torch.tensor(BORDERS, dtype=torch.float64, device=device))
        inverse = (1 / total).permute(0, 3, 1, 2, 4).flatten(2, 3)  # (T, ky, g jitter, i)
        fit = (inverse @ seen).unflatten(2, (len(CONTRASTS), len(JITTERS)))  # (T, ky, g, jitter, z)
        one = -fit.transpose(0, 1) - logs.permute(3, 0, 1, 2)[..., None]
        log.index_add_(0, band, one)
    # integrals need the tempered likelihood, as the posterior does
    marginal = torch.logsumexp(TEMPER * log, 2).sum(0)  # (T, jitter, z)
    found = torch.logsumexp(marginal, 1) / TEMPER
    weight = torch.softmax(torch.logsumexp(marginal, (0, 2)), 0)
    return found.cpu().numpy(), math.sqrt(float((weight * jitter**2).sum()))


def slab_covariance(
    tilts: Tilts, row: Coefficients, spectrum: Spectrum, voxel_size: float, thick: torch.Tensor
) -> torch.Tensor:
    """``K``, ``(n_thicknesses, n_ky, n_angles, n_angles)``, of slabs about height 0 and contrast 1."""
    device = thick.device
    count = 2 * math.ceil(float(thick.max()) + 6 * ROUGHNESS)  # kz so dense that the slab's period is longer than twice itself
    kz = torch.arange(count, dtype=torch.float64, device=device) / count - 0.5
    parts = []
    # the window mixes frequencies: Gauss and Hermite's three points of its spread about kx
    for step, weight in ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6)):
        kx = row.kx + step * tilts.spread
        q = kz + kx * tilts.tan[:, None]  # (i, kz)
        a = thick[:, None, None] * torch.sinc(thick[:, None, None] * q) * (-2 * (math.pi * ROUGHNESS * q) ** 2).exp()
        # of the blur only what differs between tilts: the rest is contrast
        a = a * (-2 * (math.pi * BLUR * kx) ** 2 * (1 / tilts.cos**2 - 1)).exp()[:, None]
        S = spectrum(kz**2 + kx**2 + row.ky[:, None] ** 2, voxel_size) * (weight / count)  # (ky, kz)
        parts.append(a[:, None] * S.sqrt()[:, None, :])
    spread = torch.cat(parts, 3)
    return spread @ spread.transpose(2, 3)


def measure_contrast(tilts: Tilts, spectrum: Spectrum, voxel_size: float, thickness: float) -> float:
    """Contrast squared of a section of this thickness that has the tilts' power less their noise's."""
    ratios = []
    for row in tilts.rows:
        expected = spectrum(row.kx**2 + row.ky**2, voxel_size) * thickness
        found = row.values.abs().square().sum(2).mean(1) / (2.0 - (row.ky == 0).double()) - tilts.noise.mean()
        ratios.append(found / expected)
    ratio = float(torch.cat(ratios).mean())
    return max(ratio, 1e-3 * float(torch.cat(ratios).abs().mean()), 1e-30)
