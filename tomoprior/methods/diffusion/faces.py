"""Where a section begins and ends along the beam, from its tilts alone: tilts of a thick section are less alike.

The model: a stationary Gaussian field f with the tissue's spectrum S, cut to a slab of thickness T about the height ``zc``. At
x' = u / cos(theta) a tilt shows the integral of f(x' + z tan(theta), z) over z, so two tilts i and j at the frequency (kx, ky)
have the covariance

    C_ij = exp(2 pi i kx zc (tan_i - tan_j)) int S(kx, ky, kz) a(kz + kx tan_i) a(kz + kx tan_j) dkz,  a(q) = T sinc(T q),

and the noise of pixels and shifts on its diagonal. The likelihood of T and zc follows from the tilts' windowed Fourier
coefficients, and a posterior from it: at a small range the tilts hardly tell, and the posterior is the prior.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.special import ndtr

from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Frequencies in cycles per pixel that are compared: below, thickness and illumination vary; above, there is blur and noise.
BAND = (0.02, 0.18)

#: Borders between bands, each of which has a contrast of its own: spectrum and blur of a series are not quite the prior's.
BORDERS = (0.06, 0.10, 0.14)

#: Steeper tilts are left out, degrees: what a window sees of them lies more and more beside it.
STEEPEST = 40.0

#: Fewer tilts, or fewer frequencies, tell nothing; more tilts are thinned out, to save time.
FEWEST_TILTS, MOST_TILTS, FEWEST_FREQUENCIES = 3, 41, 40

#: Frequencies along x, and along y on either side, at most.
MOST_ALONG = 20

#: Standard deviation of the faces about their mean heights, voxels: roughness and a voxel's width.
ROUGHNESS = 1.0

#: Of the point spread, pixels.
BLUR = 0.6

#: Contrast squared in a band over what the tilts' power says, and standard deviations of shifts in pixels.
CONTRASTS = np.exp(np.linspace(-0.8, 0.8, 17))
JITTERS = (0.0, 0.1, 0.2, 0.3, 0.45, 0.65)

#: Exponent of the likelihood. A Hann window correlates neighbouring frequencies, so that 3.8 count as one, and tissue is not
#: Gaussian; calibrated on simulated sections.
TEMPER = 0.1

#: Shifts that every round of alignment leaves to the next, and shifts expected, standard deviations in pixels.
LEFT, SHIFT = (0.4, 0.2, 0.1, 0.05, 0.05), 0.5

#: Least share of the grid's height that a section takes.
THINNEST = 0.25

#: Thicknesses whose likelihood is computed; between them it is interpolated.
N_THICKNESSES = 25

#: Standard deviation of the stain's centre about the section's, as a share of the thickness: stain comes from the faces.
STAIN = 0.03

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


@dataclass(frozen=True)
class _Coefficients:
    """Windowed Fourier coefficients of the tilts at one ``kx``; rows of equal ``|ky|`` stand together.

    ``values`` is ``(n_ky, n_angles, 2)`` for both signs of ky, over the root of the window's power; ``ky`` is ``(n_ky,)``.
    """

    kx: float
    ky: torch.Tensor
    values: torch.Tensor


@dataclass(frozen=True)
class _Tilts:
    """What is compared: tangents and cosines ``(n_angles,)``, coefficients, variance of their noise, spread of the window."""

    tan: torch.Tensor
    cos: torch.Tensor
    noise: torch.Tensor
    spread: float
    rows: list[_Coefficients]


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
    step = max(1 - thinnest, 0.05) * nz / (N_THICKNESSES - 1)
    # a little beyond the grid: dense faces make a section look thicker than it is
    apparent = nz + step * np.arange(1 - N_THICKNESSES, 3)
    half = math.floor(nz - apparent[0])
    places = np.arange(-half, half + 1) / 2
    possible = apparent[0] + step / 4 * np.arange(4 * N_THICKNESSES - 3)
    room = (nz - possible)[:, None] / 2
    inside = np.abs(places) <= room + 1e-6
    prior = inside / inside.sum(1, keepdims=True)
    if thickness is not None:
        deviation = max(0.1 * thickness if thickness_std is None else thickness_std, step / 4)
        prior *= np.exp(-0.5 * ((possible - np.clip(thickness, possible[0], nz)) / deviation) ** 2)[:, None]
    tilts = _compare(projections, geometry, noise, valid, trust)
    if tilts is None:
        return _summarise(prior / prior.sum(), possible, places, nz, False)
    size = geometry.voxel_size
    rough, _ = _likelihood(tilts, spectrum, size, apparent[:N_THICKNESSES:4], places)
    rough[~inside[::16]] = -np.inf
    thick, place = np.unravel_index(np.argmax(rough), rough.shape)
    tilts, moved = _align(tilts, spectrum, size, float(apparent[4 * thick]), float(places[place]))
    log, jitter = _likelihood(tilts, spectrum, size, apparent, places)
    between = apparent[0] + step / 4 * np.arange(4 * len(apparent) - 3)
    log = TEMPER * CubicSpline(apparent, log, axis=0)(between)
    likelihood = _blurred(log, between, possible, places, _feigned(tilts, math.hypot(jitter, moved)))
    weight = prior * likelihood
    return _summarise(weight / weight.sum(), possible, places, nz, True)


def _compare(
    projections: torch.Tensor, geometry: Geometry, noise: torch.Tensor, valid: torch.Tensor, trust: torch.Tensor | None
) -> _Tilts | None:
    """Windowed coefficients of the tilts that can be compared, on one device in double precision; None if too few."""
    ny, nu = geometry.detector
    used = np.abs(geometry.angles) <= math.radians(STEEPEST)
    counts = valid > 0
    used &= (counts.float().mean((1, 2)) > 0.5).cpu().numpy()
    if trust is not None:
        used &= (trust >= 0.5).cpu().numpy()
    index = np.flatnonzero(used)
    if len(index) < FEWEST_TILTS:
        return None
    if len(index) > MOST_TILTS:
        index = index[np.round(np.linspace(0, len(index) - 1, MOST_TILTS)).astype(int)]
    theta = geometry.angles[index]
    cos = np.cos(theta)
    at = np.arange(nu) + 0.5 - nu / 2
    offsets = np.stack([geometry.offsets(y)[index] for y in range(ny)], 1)  # (tilt, y)
    columns = (counts[index].float().mean(1) > 0.5).cpu().numpy()
    left, right = -math.inf, math.inf
    for i in range(len(index)):
        seen = np.flatnonzero(columns[i])
        left = max(left, (at[seen[0]] - 0.5 + offsets[i].max()) / cos[i])
        right = min(right, (at[seen[-1]] + 0.5 + offsets[i].min()) / cos[i])
    dy = np.zeros(len(index)) if geometry.shifts is None else geometry.shifts[index, 0]
    top, bottom = -float(min(dy.min(), 0)), ny - float(max(dy.max(), 0))
    width, height = right - left, bottom - top
    kxs, kys = _frequencies(width), _frequencies(height)
    if kxs.size == 0 or kys.size == 0:
        return None
    lowest = max(BAND[0], 1.9 / min(width, height))
    device = projections.device
    double = {"dtype": torch.float64, "device": device}
    p = torch.where(counts[index], projections[index], 0.0).double()
    share = counts[index].double()
    x = torch.from_numpy((at + offsets[:, :, None]) / cos[:, None, None]).to(device)  # (tilt, y, u)
    y = torch.from_numpy(np.arange(ny) + 0.5 - dy[:, None]).to(device)  # (tilt, y)
    window = (_hann(x, left, right) * _hann(y, top, bottom)[:, :, None]) * share
    p = (p - (p * window).sum((1, 2), keepdim=True) / window.sum((1, 2), keepdim=True)) * window
    power = width * height * (3 / 8) ** 2
    along_y = torch.polar(torch.ones(1, **double), -2 * math.pi * torch.from_numpy(kys).to(device)[:, None, None] * y)
    rows, total = [], 0
    for kx in kxs[kxs > 0]:
        keep = (kys**2 + kx**2 >= lowest**2) & (kys**2 + kx**2 <= BAND[1] ** 2) & (kys >= 0)
        if not keep.any():
            continue
        lines = (p * torch.polar(torch.ones(1, **double), -2 * math.pi * float(kx) * x)).sum(2)  # (tilt, y)
        both = [torch.from_numpy(np.flatnonzero(keep)).to(device)]
        both.append(len(kys) - 1 - both[0])
        values = torch.stack([(along_y[k] * lines).sum(2) for k in both], 2) / math.sqrt(power)
        ky = torch.from_numpy(kys[keep]).to(device)
        values[ky == 0, :, 1] = 0  # its mirror image is itself: counted once, by the zero
        rows.append(_Coefficients(float(kx), ky, values))
        total += 2 * len(ky) - int((ky == 0).sum())
    if total < FEWEST_FREQUENCIES:
        return None
    tan = torch.from_numpy(np.tan(theta)).to(device)
    c = torch.from_numpy(cos).to(device)
    return _Tilts(tan, c, noise[index].double().to(device) * c, 0.577 / width, rows)


def _frequencies(length: float) -> NDArray[np.float64]:
    """Whole numbers of waves over a window, both signs, within the band, in cycles per pixel; thinned out if too many."""
    most = math.floor(BAND[1] * length)
    step = math.ceil(most / MOST_ALONG) if most > 0 else 1
    half = np.arange(0, most + 1, step) / length
    return np.concatenate([-half[:0:-1], half]) if most > 0 else np.empty(0)


def _hann(x: torch.Tensor, left: float, right: float) -> torch.Tensor:
    phase = ((x - left) / (right - left)).clamp(0, 1)
    return (math.pi * phase).sin() ** 2


def _likelihood(
    tilts: _Tilts, spectrum: Spectrum, voxel_size: float, grid: NDArray[np.float64], places: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Log likelihood ``(n_thicknesses, n_places)``, and the shifts' root mean square there, pixels.

    For every thickness and frequency the covariance is ``g K + n``, where K is real for a slab about height 0; its
    eigenvectors serve all contrasts, shifts and heights. Contrast is integrated out in every band, the shifts over all.
    """
    device = tilts.tan.device
    level = _contrast(tilts, spectrum, voxel_size, float(grid.mean()))
    thick = torch.from_numpy(grid).to(device)
    z = torch.from_numpy(places).to(device)
    # g T is what the tilts' power tells: a thinner section has more contrast
    g = level * float(grid.mean()) / thick[:, None] * torch.from_numpy(CONTRASTS).to(device)  # (T, g)
    jitter = torch.tensor(JITTERS, dtype=torch.float64, device=device)
    shape = (len(BORDERS) + 1, len(grid), len(CONTRASTS), len(JITTERS), len(places))
    log = torch.zeros(shape, dtype=torch.float64, device=device)
    for row in tilts.rows:
        K = _covariance(tilts, row, spectrum, voxel_size, thick)  # (T, ky, i, j)
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


def _align(tilts: _Tilts, spectrum: Spectrum, voxel_size: float, thickness: float, height: float) -> tuple[_Tilts, float]:
    """The tilts with their most likely shifts undone, and the root mean square of these along x, pixels.

    All frequencies of a tilt share its shift, so they tell it far better than each alone. Fisher scoring of the likelihood of a
    slab of this thickness. A shift common to all, or in step with the tangents, moves the specimen and is left.
    """
    tan, count = tilts.tan, len(tilts.tan)
    level = _contrast(tilts, spectrum, voxel_size, thickness)
    device = tan.device
    thick = torch.tensor([thickness], dtype=torch.float64, device=device)
    models = []
    for row in tilts.rows:
        phase = 2 * math.pi * torch.stack([(row.kx / tilts.cos).expand(len(row.ky), count), row.ky[:, None].expand(-1, count)])
        models.append((level * _covariance(tilts, row, spectrum, voxel_size, thick)[0], phase))
    sin = tan * tilts.cos
    identity = torch.eye(count, dtype=torch.float64, device=device)
    common = [torch.linalg.qr(columns)[0] for columns in (torch.stack([tilts.cos, sin], 1), torch.ones_like(tan)[:, None])]
    common = [q @ q.T for q in common]
    total = torch.zeros(2, count, dtype=torch.float64, device=device)
    total[0] = -height * sin  # the slab of the model lies about height 0
    expected = [(identity - q + 1e-4 * q) / SHIFT**2 for q in common]
    for left in LEFT:
        # what is still to be found acts as noise, or the model would be surer of its slope than it can be
        covariances = [
            K + torch.diag_embed(tilts.noise + left**2 * torch.diagonal(K, dim1=1, dim2=2) * phase.square().sum(0))
            for K, phase in models
        ]
        inverses = [torch.linalg.inv(C) for C in covariances]
        hessian = torch.zeros(2, count, count, dtype=torch.float64, device=device)
        slope = torch.zeros(2, count, dtype=torch.float64, device=device)
        for row, (_, phase), C, inverse in zip(_moved(tilts, total).rows, models, covariances, inverses, strict=True):
            number = (2.0 - (row.ky == 0).double())[:, None, None]
            fisher = number * (inverse * C - identity)
            v = row.values
            cross = (v.conj() * (inverse.to(v.dtype) @ v)).imag  # d/ds of v^H P v, s undone, is 2 phase times this
            for a, sign in ((0, 1.0), (1, -1.0)):
                hessian[a] += 2 * (fisher * phase[a][:, :, None] * phase[a][:, None, :]).sum(0)
                slope[a] += 2 * (phase[a] * (cross[..., 0] + sign * cross[..., 1])).sum(0)
        step = torch.stack(
            [
                torch.linalg.solve(TEMPER * hessian[a] + expected[a], TEMPER * slope[a] + expected[a] @ total[a])
                for a in range(2)
            ]
        )

        def misfit(shifts: torch.Tensor, inverses: list[torch.Tensor] = inverses) -> float:
            moved = _moved(tilts, shifts).rows
            found = sum(
                float((row.values.conj() * (P.to(row.values.dtype) @ row.values)).real.sum())
                for row, P in zip(moved, inverses, strict=True)
            )
            return TEMPER * found + 0.5 * sum(float(shifts[a] @ expected[a] @ shifts[a]) for a in range(2))

        before = misfit(total)
        for share in (1.0, 0.5, 0.25, 0.1):
            if misfit(total - share * step) < before:
                total = total - share * step
                break
    total = torch.stack([total[a] - common[a] @ total[a] for a in range(2)])
    return _moved(tilts, total), float(total[0].square().mean().sqrt())


def _moved(tilts: _Tilts, shifts: torch.Tensor) -> _Tilts:
    """The tilts with these shifts undone, ``(2, n_angles)`` along x and y in pixels."""
    rows = []
    for row in tilts.rows:
        x, y = row.kx / tilts.cos * shifts[0], row.ky[:, None] * shifts[1]
        phase = 2 * math.pi * torch.stack([x + y, x - y], 2)
        rows.append(replace(row, values=row.values * torch.polar(torch.ones_like(phase), phase)))
    return replace(tilts, rows=rows)


def _covariance(
    tilts: _Tilts, row: _Coefficients, spectrum: Spectrum, voxel_size: float, thick: torch.Tensor
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


def _contrast(tilts: _Tilts, spectrum: Spectrum, voxel_size: float, thickness: float) -> float:
    """Contrast squared of a section of this thickness that has the tilts' power less their noise's."""
    ratios = []
    for row in tilts.rows:
        expected = spectrum(row.kx**2 + row.ky**2, voxel_size) * thickness
        found = row.values.abs().square().sum(2).mean(1) / (2.0 - (row.ky == 0).double()) - tilts.noise.mean()
        ratios.append(found / expected)
    ratio = float(torch.cat(ratios).mean())
    return max(ratio, 1e-3 * float(torch.cat(ratios).abs().mean()), 1e-30)


def _feigned(tilts: _Tilts, jitter: float) -> float:
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
    return np.asarray((kernel / kernel.sum(1, keepdims=True)) @ wide) + 1e-300


def _summarise(
    weight: NDArray[np.float64], thick: NDArray[np.float64], places: NDArray[np.float64], nz: int, measured: bool
) -> Section:
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
