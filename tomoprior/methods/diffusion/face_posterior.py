"""Posterior of a section's two faces along the beam, from its tilts alone: tilts of a thick section are less alike.

The likelihood of a Gaussian slab, tempered and widened because tissue is not Gaussian, gives a posterior of both faces. At a
small tilt range the tilts contain little information, and the posterior is nearly the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.slab_alignment import align_tilts
from tomoprior.methods.diffusion.slab_likelihood import CONTRASTS, ROUGHNESS, SHIFT_STDS, TEMPER, log_likelihood
from tomoprior.methods.diffusion.spectrum import Spectrum
from tomoprior.methods.diffusion.tilt_coefficients import (
    MAX_ANGLE,
    MAX_TILTS,
    Tilts,
    compute_tilt_coefficients,
    list_frequencies,
)

#: Smallest thickness of a section, as a share of the grid's height.
MIN_THICKNESS_SHARE = 0.25

#: Number of thicknesses within the grid at which the likelihood is computed; it is interpolated between them.
N_THICKNESSES = 25

#: Interpolated steps per computed thickness, and the stride through the thicknesses for the first alignment of the tilts.
INTERPOLATION_FACTOR, ALIGNMENT_STRIDE = 4, 4

#: Likelihood that every slab has at least, relative to the best: if no slab fits well, the prior counts.
BACKGROUND_LIKELIHOOD = 1e-6

#: Number of heights per grid at which the section's middle may lie.
N_HEIGHTS = 64

#: Standard deviation of the stain's middle about the section's middle, as a share of the thickness.
STAIN_CENTRE_STD = 0.02

#: Standard deviation of the stain's apparent thickness, as a share of the thickness.
STAIN_THICKNESS_STD = 0.03


@dataclass(frozen=True)
class FacePosterior:
    """Posterior of a section's faces. Positions are voxels along z from the grid's lower edge, 0 to nz.

    Attributes
    ----------
    low, high
        Posterior means of the faces' mean heights.
    low_std, high_std
        Their standard deviations.
    thickness, thickness_std, centre, centre_std
        Mean and standard deviation of the distance between the faces, and of the middle between them.
    profile
        Expected share of each plane that lies inside, ``(nz,)``, the faces' roughness included.
    measured
        False if there were too few tilts to compare: then this is the prior.
    """

    low: float
    high: float
    low_std: float
    high_std: float
    thickness: float
    thickness_std: float
    centre: float
    centre_std: float
    profile: torch.Tensor
    measured: bool


def find_faces(
    projections: torch.Tensor,
    geometry: Geometry,
    spectrum: Spectrum,
    *,
    noise: torch.Tensor,
    valid: torch.Tensor,
    tilt_weights: torch.Tensor | None = None,
    thickness: float | None = None,
    thickness_std: float | None = None,
    min_thickness_share: float = MIN_THICKNESS_SHARE,
) -> FacePosterior:
    """Return the posterior of the faces of a section that lies within the grid.

    Parameters
    ----------
    projections
        Line integrals, ``(n_angles, ny, nu)``.
    spectrum
        The tissue's spectrum in any unit: the contrast is estimated.
    noise
        Variance of each tilt's white noise, ``(n_angles,)``.
    valid
        1 where a ray may be used, ``(n_angles, ny, nu)``.
    tilt_weights
        0 to 1 for each tilt; those below one half are left out.
    thickness, thickness_std
        Prior mean and standard deviation of the thickness, voxels; the default deviation is a tenth of the thickness.
    min_thickness_share
        Smallest thickness of a section, as a share of the grid's height. A priori all thicknesses from there to the grid's
        height are equally likely, and so are all positions within the grid.
    """
    nz = geometry.shape[0]
    least = min_thickness_share * nz
    deviation = 0.0
    if thickness is not None:
        deviation = 0.1 * thickness if thickness_std is None else thickness_std
        least = max(min(least, thickness - 3 * deviation), 1.0)
    step = max(nz - least, 0.05 * nz) / (N_THICKNESSES - 1)
    # a little beyond the grid: dense faces make a section look thicker than it is
    apparent = np.asarray(nz + step * np.arange(1 - N_THICKNESSES, 3), np.float64)
    spacing = nz / N_HEIGHTS
    half = math.floor((nz - apparent[0]) / 2 / spacing)
    heights = spacing * np.arange(-half, half + 1)
    thicknesses = apparent[0] + step / INTERPOLATION_FACTOR * np.arange(INTERPOLATION_FACTOR * (N_THICKNESSES - 1) + 1)
    fits_grid = np.abs(heights) <= (nz - thicknesses)[:, None] / 2 + 1e-6
    prior = np.log(fits_grid / fits_grid.sum(1, keepdims=True) + 1e-300)
    prior[~fits_grid] = -np.inf
    if thickness is not None:
        z_score = (thicknesses - np.clip(thickness, thicknesses[0], nz)) / max(deviation, step / INTERPOLATION_FACTOR)
        prior -= 0.5 * z_score[:, None] ** 2
    tilts = compute_tilt_coefficients(projections, geometry, noise, valid, tilt_weights)
    if tilts is None:
        return _summarise(prior, thicknesses, heights, nz, False)
    size = geometry.voxel_size
    rough, _ = log_likelihood(tilts, spectrum, size, apparent[:N_THICKNESSES:ALIGNMENT_STRIDE], heights)
    rough[~fits_grid[:: ALIGNMENT_STRIDE * INTERPOLATION_FACTOR]] = -np.inf
    best, place = np.unravel_index(np.argmax(rough), rough.shape)
    tilts, shift = align_tilts(tilts, spectrum, size, float(apparent[ALIGNMENT_STRIDE * best]), float(heights[place]))
    log, remaining_shift = log_likelihood(tilts, spectrum, size, apparent, heights)
    fine = apparent[0] + step / INTERPOLATION_FACTOR * np.arange(INTERPOLATION_FACTOR * (len(apparent) - 1) + 1)
    log = TEMPER * CubicSpline(apparent, log, axis=0)(fine)
    height_std = _height_std_from_shifts(tilts, math.hypot(remaining_shift, shift))
    likelihood = _blur_likelihood(log, fine, thicknesses, heights, height_std)
    return _summarise(prior + np.log(likelihood), thicknesses, heights, nz, True)


def estimate_search_bytes(geometry: Geometry) -> int:
    """Return the peak memory of ``find_faces`` in bytes, without its arguments."""
    nz, ny, _ = geometry.shape
    tilts = min(int((np.abs(geometry.angles) <= math.radians(MAX_ANGLE)).sum()), MAX_TILTS)
    rays = tilts * ny * geometry.detector[1]
    systems = (N_THICKNESSES + 2) * len(list_frequencies(ny))
    depths = 3 * 2 * math.ceil(1.1 * nz + 6 * ROUGHNESS)
    mixtures = len(CONTRASTS) * len(SHIFT_STDS)
    likelihood = systems * (2 * depths * tilts + mixtures * (3 * tilts + 4 * N_HEIGHTS * (1 - MIN_THICKNESS_SHARE)))
    # windows, positions and waves of all pixels; the allocator keeps much of this memory during the next steps
    return int(8 * max(19 * rays, 12 * rays + likelihood))


def _height_std_from_shifts(tilts: Tilts, shift_std: float) -> float:
    """Return the standard deviation of the section's height that shifts of the tilts cause, voxels.

    Shifts proportional to the tangents look like a move of the section along z. Independent shifts of the tilts contribute,
    and so does a drift of the same size from the first tilt to the last (a random walk's slope is 1.1 times its end to end
    deviation).
    """
    tan = tilts.tan
    shift_std = max(shift_std, 0.1)
    reach = float(tan.max() - tan.min())
    independent = float((tan - tan.mean()).square().sum())
    return shift_std * math.sqrt(1 / max(independent, 1e-12) + (1.1 / max(reach, 1e-6)) ** 2)


def _blur_likelihood(
    log: NDArray[np.float64], apparent: NDArray[np.float64], thicknesses: NDArray[np.float64], heights: NDArray[np.float64],
    height_std: float,
) -> NDArray[np.float64]:  # fmt: skip
    """Return the likelihood of the section's thickness and height from that of the stain's, up to a factor.

    Its shape is ``(n_thicknesses, n_heights)``. Tissue differs from face to face, so that its stain seems thinner or thicker
    than the section, and its middle differs from the section's. Shifts add to this.
    """
    stain = np.exp(log - log.max())
    distance = heights[:, None] - heights
    wide = np.empty_like(stain)
    for i, T in enumerate(apparent):
        kernel = np.exp(-0.5 * distance**2 / (height_std**2 + (STAIN_CENTRE_STD * T) ** 2))
        wide[i] = (kernel / kernel.sum(1, keepdims=True)) @ stain[i]
    kernel = np.exp(-0.5 * ((apparent - thicknesses[:, None]) / (STAIN_THICKNESS_STD * thicknesses[:, None])) ** 2)
    blurred = (kernel / kernel.sum(1, keepdims=True)) @ wide
    return np.asarray(blurred / blurred.max() + BACKGROUND_LIKELIHOOD)


def _summarise(
    log: NDArray[np.float64], thicknesses: NDArray[np.float64], heights: NDArray[np.float64], nz: int, measured: bool
) -> FacePosterior:
    """Return the moments of a log posterior ``(n_thicknesses, n_heights)`` that is known up to a constant."""
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    T, c = np.meshgrid(thicknesses, heights + nz / 2, indexing="ij")

    def compute_moments(values: NDArray[np.float64]) -> tuple[float, float]:
        mean = float((weight * values).sum())
        return mean, math.sqrt(max(float((weight * (values - mean) ** 2).sum()), 0.0))

    low, high = c - T / 2, c + T / 2
    z = np.arange(nz) + 0.5
    profile = np.zeros(nz)
    for k in range(nz):
        share = ndtr((z[k] - low) / ROUGHNESS) * ndtr((high - z[k]) / ROUGHNESS)
        profile[k] = (weight * share).sum()
    (a, a_std), (b, b_std) = compute_moments(low), compute_moments(high)
    (t, t_std), (m, m_std) = compute_moments(T), compute_moments(c)
    return FacePosterior(a, b, a_std, b_std, t, t_std, m, m_std, torch.from_numpy(profile).float(), measured)
