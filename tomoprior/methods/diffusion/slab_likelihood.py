"""Likelihood of a Gaussian slab's thickness and height, given the coefficients of its tilts.

The model is a stationary Gaussian field f with the tissue's spectrum S, cut to a slab of thickness T about the height h. At x'
a tilt shows the integral of f(x' + z tan(theta), z) over z. So two tilts i and j at the frequency (kx, ky) have the covariance

    exp(2 pi i kx h (tan_i - tan_j)) int S(kx, ky, kz) a(kz + kx tan_i) a(kz + kx tan_j) dkz,  a(q) = T sinc(T q),

and the diagonal also has the noise of pixels and shifts.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tilt_coefficients import CoefficientRow, Tilts

#: Borders between frequency bands, cycles per pixel. Each band has its own contrast: spectrum and blur are known only roughly.
BAND_EDGES = (0.06, 0.10, 0.14)

#: Standard deviation of the faces about their mean heights, voxels: roughness and the width of a voxel.
ROUGHNESS = 1.0

#: Standard deviation of the point spread function, pixels.
BLUR_STD = 0.6

#: Values that are integrated over: squared contrast in a band relative to the tilts' power, and standard deviations of the
#: shifts in pixels.
CONTRASTS = np.exp(np.linspace(-0.8, 0.8, 17))
SHIFT_STDS = (0.0, 0.1, 0.2, 0.3, 0.45, 0.65)

#: Exponent of the likelihood of thickness and height, because tissue is not Gaussian. Calibrated on simulated sections.
TEMPER = 0.06


def log_likelihood(
    tilts: Tilts, spectrum: Spectrum, voxel_size: float, thicknesses: NDArray[np.float64], heights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return the log likelihood ``(n_thicknesses, n_heights)`` and the posterior root mean square of the shifts, pixels.

    For every thickness and frequency the covariance is ``g K + n``, where K is real for a slab about height 0. The
    eigenvectors of K serve all contrasts, shifts and heights. The contrast is integrated out in each band, the shifts over
    all bands together.
    """
    device = tilts.tan.device
    typical_thickness = float(thicknesses.mean())
    level = measure_contrast(tilts, spectrum, voxel_size, typical_thickness)
    thick = torch.from_numpy(thicknesses).to(device)
    z = torch.from_numpy(heights).to(device)
    # the tilts' power determines g T: a thinner section has more contrast
    g = level * typical_thickness / thick[:, None] * torch.from_numpy(CONTRASTS).to(device)  # (T, g)
    shift = torch.tensor(SHIFT_STDS, dtype=torch.float64, device=device)
    shape = (len(BAND_EDGES) + 1, len(thicknesses), len(CONTRASTS), len(SHIFT_STDS), len(heights))
    log = torch.zeros(shape, dtype=torch.float64, device=device)
    for row in tilts.rows:
        K = slab_covariance(tilts, row, spectrum, voxel_size, thick)  # (T, ky, i, j)
        power = torch.diagonal(K, dim1=2, dim2=3)
        squared_phase = (2 * math.pi) ** 2 * ((row.kx / tilts.cos) ** 2 + row.ky[:, None] ** 2)  # (ky, i)
        shift_noise = level * power[len(thicknesses) // 2] * squared_phase
        # noise and shifts depend on the tilt in nearly the same way, so one diagonal serves for all mixtures of them
        D = tilts.noise + 0.2**2 * shift_noise
        root = D.sqrt()
        values, vectors = torch.linalg.eigh(K / (root[:, :, None] * root[:, None, :]))
        values = values.clamp_min(0)
        rotation = torch.polar(torch.ones_like(z)[:, None], -2 * math.pi * row.kx * z[:, None] * tilts.tan)  # (z, i)
        y = (row.values / root[..., None])[:, :, None] * rotation.T[:, :, None]  # (ky, i, z, 2)
        flat = torch.view_as_real(y).flatten(2)
        squares = (vectors.transpose(2, 3) @ flat).unflatten(3, (len(z), 4)).square().sum(4)  # (T, ky, i, z)
        n_signs = 2.0 - (row.ky == 0).double()
        extra = (g[:, :, None, None] * (power * squared_phase).div(D).mean(2)[:, None, None, :]) * shift[:, None] ** 2
        n = (tilts.noise / D).mean(1) + extra  # (T, g, shift, ky)
        total = g[:, :, None, None, None] * values[:, None, None] + n[..., None]  # (T, g, shift, ky, i)
        log_determinant = total.log().sum(4) * n_signs
        band = torch.bucketize((row.kx**2 + row.ky**2).sqrt(), torch.tensor(BAND_EDGES, dtype=torch.float64, device=device))
        inverse = (1 / total).permute(0, 3, 1, 2, 4).flatten(2, 3)  # (T, ky, g shift, i)
        misfit = (inverse @ squares).unflatten(2, (len(CONTRASTS), len(SHIFT_STDS)))  # (T, ky, g, shift, z)
        log.index_add_(0, band, -misfit.transpose(0, 1) - log_determinant.permute(3, 0, 1, 2)[..., None])
    # the integrals use the tempered likelihood, as the posterior does
    marginal = torch.logsumexp(TEMPER * log, 2).sum(0)  # (T, shift, z)
    likelihood = torch.logsumexp(marginal, 1) / TEMPER
    weight = torch.softmax(torch.logsumexp(marginal, (0, 2)), 0)
    return likelihood.cpu().numpy(), math.sqrt(float((weight * shift**2).sum()))


def slab_covariance(
    tilts: Tilts, row: CoefficientRow, spectrum: Spectrum, voxel_size: float, thick: torch.Tensor
) -> torch.Tensor:
    """Return ``K``, ``(n_thicknesses, n_ky, n_angles, n_angles)``, of slabs about height 0 with contrast 1."""
    device = thick.device
    count = 2 * math.ceil(float(thick.max()) + 6 * ROUGHNESS)  # kz so dense that the period exceeds twice the slab's thickness
    kz = torch.arange(count, dtype=torch.float64, device=device) / count - 0.5
    parts = []
    # the window mixes frequencies about kx: three-point Gauss-Hermite quadrature over its width
    for step, weight in ((-math.sqrt(3), 1 / 6), (0.0, 2 / 3), (math.sqrt(3), 1 / 6)):
        kx = row.kx + step * tilts.window_width
        q = kz + kx * tilts.tan[:, None]  # (i, kz)
        a = thick[:, None, None] * torch.sinc(thick[:, None, None] * q) * (-2 * (math.pi * ROUGHNESS * q) ** 2).exp()
        # only the part of the blur that differs between tilts; the rest counts as contrast
        a = a * (-2 * (math.pi * BLUR_STD * kx) ** 2 * (1 / tilts.cos**2 - 1)).exp()[:, None]
        S = spectrum(kz**2 + kx**2 + row.ky[:, None] ** 2, voxel_size) * (weight / count)  # (ky, kz)
        parts.append(a[:, None] * S.sqrt()[:, None, :])
    root = torch.cat(parts, 3)
    return root @ root.transpose(2, 3)


def measure_contrast(tilts: Tilts, spectrum: Spectrum, voxel_size: float, thickness: float) -> float:
    """Return the squared contrast of a section of this thickness whose power is that of the tilts minus their noise."""
    ratios = []
    for row in tilts.rows:
        expected = spectrum(row.kx**2 + row.ky**2, voxel_size) * thickness
        power = row.values.abs().square().sum(2).mean(1) / (2.0 - (row.ky == 0).double()) - tilts.noise.mean()
        ratios.append(power / expected)
    ratio = float(torch.cat(ratios).mean())
    return max(ratio, 1e-3 * float(torch.cat(ratios).abs().mean()), 1e-30)
