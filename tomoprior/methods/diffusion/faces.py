"""Where a section begins and ends along the beam, from its tilts alone: tilts of a thick section are less alike.

The likelihood of a Gaussian slab, tempered and widened by what is not Gaussian about tissue, becomes a posterior of both
faces. At a small range the tilts hardly tell, and the posterior is nearly the prior.
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
from tomoprior.methods.diffusion.coefficients import MOST_TILTS, STEEPEST, Tilts, compare_tilts, list_frequencies
from tomoprior.methods.diffusion.slab_alignment import align_tilts
from tomoprior.methods.diffusion.slab_likelihood import CONTRASTS, JITTERS, ROUGHNESS, TEMPER, log_likelihood
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Least share of the grid's height that a section takes.
THINNEST = 0.25

#: Thicknesses within the grid whose likelihood is computed; between them it is interpolated.
N_THICKNESSES = 25

#: Steps of that interpolation, and of the thicknesses that the tilts are first aligned with.
FINER, COARSER = 4, 4

#: Likelihood of all else over that of the best: no slab may fit, and then what is known beforehand counts.
DOUBT = 1e-6

#: Heights of the section's middle that the grid is divided into.
N_PLACES = 64

#: Standard deviation of the middle of what is stained about the section's, as a share of its thickness.
STAIN = 0.02

#: The same of the thickness that the stain seems to have.
UNEVEN = 0.03


@dataclass(frozen=True)
class Section:
    """Posterior of a section's faces. Positions are voxels along z from the grid's lower edge, 0 to nz.

    Attributes
    ----------
    low, high
        Posterior means of the faces' mean heights.
    low_std, high_std
        Their standard deviations.
    thickness, thickness_std, centre, centre_std
        Of the distance between the faces, and of the middle.
    profile
        Expected share of each plane that lies inside, ``(nz,)``, the faces' roughness included.
    measured
        False where the tilts were too few to tell anything, and this is the prior.
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


def find_section(
    projections: torch.Tensor,
    geometry: Geometry,
    spectrum: Spectrum,
    *,
    noise: torch.Tensor,
    valid: torch.Tensor,
    trust: torch.Tensor | None = None,
    thickness: float | None = None,
    thickness_std: float | None = None,
    thinnest: float = THINNEST,
) -> Section:
    """Posterior of the faces of a section that lies within the grid.

    Parameters
    ----------
    projections
        Line integrals, ``(n_angles, ny, nu)``.
    spectrum
        Of the tissue, in any unit: contrast is found.
    noise
        Variance of each tilt's white noise, ``(n_angles,)``.
    valid
        1 where a ray may be used, ``(n_angles, ny, nu)``.
    trust
        0 to 1 for each tilt; those below one half are left out.
    thickness, thickness_std
        What is known of the thickness beforehand, voxels. A thickness without a deviation is taken for known within a tenth.
    thinnest
        Least share of the grid's height that a section takes. Thicknesses from there to the grid's height are equally likely
        beforehand, and so are all places within the grid.
    """
    nz = geometry.shape[0]
    least = thinnest * nz
    deviation = 0.0
    if thickness is not None:
        deviation = 0.1 * thickness if thickness_std is None else thickness_std
        least = max(min(least, thickness - 3 * deviation), 1.0)
    step = max(nz - least, 0.05 * nz) / (N_THICKNESSES - 1)
    # a little beyond the grid: dense faces make a section look thicker than it is
    apparent = np.asarray(nz + step * np.arange(1 - N_THICKNESSES, 3), np.float64)
    spacing = nz / N_PLACES
    half = math.floor((nz - apparent[0]) / 2 / spacing)
    places = spacing * np.arange(-half, half + 1)
    possible = apparent[0] + step / FINER * np.arange(FINER * (N_THICKNESSES - 1) + 1)
    inside = np.abs(places) <= (nz - possible)[:, None] / 2 + 1e-6
    prior = np.log(inside / inside.sum(1, keepdims=True) + 1e-300)
    prior[~inside] = -np.inf
    if thickness is not None:
        off = (possible - np.clip(thickness, possible[0], nz)) / max(deviation, step / FINER)
        prior -= 0.5 * off[:, None] ** 2
    tilts = compare_tilts(projections, geometry, noise, valid, trust)
    if tilts is None:
        return _summarise(prior, possible, places, nz, False)
    size = geometry.voxel_size
    rough, _ = log_likelihood(tilts, spectrum, size, apparent[:N_THICKNESSES:COARSER], places)
    rough[~inside[:: COARSER * FINER]] = -np.inf
    thick, place = np.unravel_index(np.argmax(rough), rough.shape)
    tilts, moved = align_tilts(tilts, spectrum, size, float(apparent[COARSER * thick]), float(places[place]))
    log, jitter = log_likelihood(tilts, spectrum, size, apparent, places)
    between = apparent[0] + step / FINER * np.arange(FINER * (len(apparent) - 1) + 1)
    log = TEMPER * CubicSpline(apparent, log, axis=0)(between)
    likelihood = _blurred(log, between, possible, places, _feigned(tilts, math.hypot(jitter, moved)))
    return _summarise(prior + np.log(likelihood), possible, places, nz, True)


def finding_bytes(geometry: Geometry) -> int:
    """Bytes that ``find_section`` takes beside what it is given."""
    nz, ny, _ = geometry.shape
    tilts = min(int((np.abs(geometry.angles) <= math.radians(STEEPEST)).sum()), MOST_TILTS)
    rays = tilts * ny * geometry.detector[1]
    systems = (N_THICKNESSES + 2) * len(list_frequencies(ny))
    depths = 3 * 2 * math.ceil(1.1 * nz + 6 * ROUGHNESS)
    mixtures = len(CONTRASTS) * len(JITTERS)
    likelihood = systems * (2 * depths * tilts + mixtures * (3 * tilts + 4 * N_PLACES * (1 - THINNEST)))
    # windows, positions and waves of all pixels; the allocator keeps much of them beside what follows
    return int(8 * max(19 * rays, 12 * rays + likelihood))


def _feigned(tilts: Tilts, jitter: float) -> float:
    """Standard deviation of the height that shifts in step with the tangents feign, voxels.

    Such shifts move the section along z. Each tilt's own shift has a part in it, and as much again may have drifted from the
    first tilt to the last (a random walk's slope is 1.1 times its end to end deviation).
    """
    tan = tilts.tan
    jitter = max(jitter, 0.1)
    reach = float(tan.max() - tan.min())
    own = float((tan - tan.mean()).square().sum())
    return jitter * math.sqrt(1 / max(own, 1e-12) + (1.1 / max(reach, 1e-6)) ** 2)


def _blurred(
    log: NDArray[np.float64], apparent: NDArray[np.float64], possible: NDArray[np.float64], places: NDArray[np.float64],
    height: float,
) -> NDArray[np.float64]:  # fmt: skip
    """The likelihood ``(n_possible, n_places)`` of true thickness and height, from that of those of the stain, up to a factor.

    Tissue is not the same from face to face, so its stain seems thinner or thicker than the section, and lies off its middle;
    shifts add to that.
    """
    share = np.exp(log - log.max())
    distance = places[:, None] - places
    wide = np.empty_like(share)
    for i, T in enumerate(apparent):
        kernel = np.exp(-0.5 * distance**2 / (height**2 + (STAIN * T) ** 2))
        wide[i] = (kernel / kernel.sum(1, keepdims=True)) @ share[i]
    kernel = np.exp(-0.5 * ((apparent - possible[:, None]) / (UNEVEN * possible[:, None])) ** 2)
    blurred = (kernel / kernel.sum(1, keepdims=True)) @ wide
    return np.asarray(blurred / blurred.max() + DOUBT)


def _summarise(
    log: NDArray[np.float64], thick: NDArray[np.float64], places: NDArray[np.float64], nz: int, measured: bool
) -> Section:
    """Moments of a posterior whose logarithm is known up to a constant, ``(n_thicknesses, n_places)``."""
    weight = np.exp(log - log.max())
    weight /= weight.sum()
    T, c = np.meshgrid(thick, places + nz / 2, indexing="ij")

    def moments(values: NDArray[np.float64]) -> tuple[float, float]:
        mean = float((weight * values).sum())
        return mean, math.sqrt(max(float((weight * (values - mean) ** 2).sum()), 0.0))

    low, high = c - T / 2, c + T / 2
    z = np.arange(nz) + 0.5
    profile = np.zeros(nz)
    for k in range(nz):
        share = ndtr((z[k] - low) / ROUGHNESS) * ndtr((high - z[k]) / ROUGHNESS)
        profile[k] = (weight * share).sum()
    (a, a_std), (b, b_std) = moments(low), moments(high)
    (t, t_std), (m, m_std) = moments(T), moments(c)
    return Section(a, b, a_std, b_std, t, t_std, m, m_std, torch.from_numpy(profile).float(), measured)
