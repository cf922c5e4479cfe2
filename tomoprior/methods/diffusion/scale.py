"""Scale and offset of a series, from its tilts alone: they convert a user's values to those of the prior's training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Band of frequencies in which the contrast is measured, cycles per pixel. Below, thickness and illumination vary; above are
#: blur and noise.
BAND = (0.03, 0.12)

#: Standard deviation of tissue in the prior's units.
UNIT_STD = 0.5

#: A tilt with fewer columns of the specimen does not count.
MIN_COLUMNS = 6


@dataclass(frozen=True)
class Scale:
    """Relation of a series' densities ``x`` to the prior's values ``u``: ``x = mean + gain u``.

    ``mean`` is the mean density inside the section, so that ``u`` is zero on average inside and ``vacuum_value`` outside. For a
    batch of series both are tensors that broadcast over the volumes, ``(batch, 1, 1, 1)``.
    """

    mean: float | torch.Tensor
    gain: float | torch.Tensor

    @property
    def vacuum_value(self) -> float | torch.Tensor:
        """``u`` of an empty voxel."""
        return -self.mean / self.gain


def measure_scale(
    projections: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor, geometry: Geometry, spectrum: Spectrum,
    thickness: float | torch.Tensor | None = None,
) -> Scale:  # fmt: skip
    """Measure the mean density and the contrast of one series; see ``measure_mean_and_gain``.

    Raises
    ------
    InputError
        If the tilts show no contrast above their noise.
    """
    measured = measure_mean_and_gain(projections, valid, noise, geometry, spectrum, thickness)
    if measured is None:
        raise InputError("no tilt shows enough of the specimen to measure the contrast: a wider detector is needed")
    mean, gain = (float(v) for v in measured)
    if not gain > 0:  # also true for NaN
        raise InputError("the tilts show no contrast above their noise, so the prior's values cannot be scaled to them")
    return Scale(mean, gain)


def measure_mean_and_gain(
    projections: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor, geometry: Geometry, spectrum: Spectrum,
    thickness: float | torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor] | None:  # fmt: skip
    """Measure the mean density and the contrast of each series of a batch.

    ``mean`` is the median over tilts of the mean line integral times cos(theta), divided by the section's thickness. ``gain``
    is the root of a ratio: the tilts' power in ``BAND`` minus that of white noise, over the power of tissue with the prior's
    spectrum. A tilt of a slab of thickness T has the power ``S(k) T / cos(theta)`` at frequency k across the beam (Fourier
    slice theorem).

    Parameters
    ----------
    projections
        ``(..., n_angles, ny, nu)``: line integrals.
    valid
        1 where a ray stays within the grid, ``(n_angles, ny, nu)``.
    noise
        Variance of each tilt's noise, ``(..., n_angles)``.
    spectrum
        Spectrum of tissue in units where its standard deviation is ``UNIT_STD``.
    thickness
        Thickness of the section in voxels, one number or ``(...)``; by default the section fills the grid.

    Returns
    -------
    mean, gain
        ``(...)`` each; ``gain`` is NaN where a series shows no contrast. None if no tilt shows enough columns.
    """
    section = geometry.shape[0] if thickness is None else thickness
    cos = np.maximum(np.abs(np.cos(geometry.angles)), 1e-3)
    columns = [np.flatnonzero(row) for row in valid.any(-2).cpu().numpy()]
    means, ratios, weights = [], [], []
    for i in range(geometry.n_angles):
        if len(columns[i]) < MIN_COLUMNS:
            continue
        image = projections[..., i, :, int(columns[i][0]) : int(columns[i][-1]) + 1].double()
        means.append(image.mean((-2, -1)) * cos[i])
        measured = _measure_power_ratio(image, noise[..., i].double(), spectrum, geometry.voxel_size)
        if measured is not None:
            # x is foreshortened: its frequencies are those of the specimen divided by cos
            ratios.append(measured[0] * cos[i])
            weights.append(measured[1])
    if not ratios:
        return None
    share = torch.tensor(weights, dtype=torch.float64, device=projections.device)
    gain2 = (torch.stack(ratios, -1) * share).sum(-1) / share.sum() / section
    mean = torch.stack(means, -1)
    # for an even number of tilts this is the mean of the middle two; torch.median takes the lower one
    median = mean.quantile(0.5, dim=-1) / section
    gain = torch.where(gain2 > 0, gain2.clamp_min(0).sqrt(), torch.nan)
    return median.float(), gain.float()


def _measure_power_ratio(
    image: torch.Tensor, noise: torch.Tensor, spectrum: Spectrum, voxel_size: float
) -> tuple[torch.Tensor, float] | None:
    """Return the mean ratio of an image's power minus its noise's to the spectrum's in the band, and the frequencies' count."""
    ny, nx = image.shape[-2:]
    device = image.device
    window = torch.outer(_hann_window(ny, device), _hann_window(nx, device))
    image = (image - (image * window).sum((-2, -1), keepdim=True) / window.sum()) * window
    power = torch.fft.rfft2(image).abs().square() / window.square().sum()
    k2 = torch.fft.fftfreq(ny)[:, None].double() ** 2 + torch.fft.rfftfreq(nx)[None].double() ** 2
    index = torch.nonzero(((k2 >= BAND[0] ** 2) & (k2 <= BAND[1] ** 2)).flatten())[:, 0]
    if len(index) < 2:
        return None
    expected = spectrum(k2.flatten()[index].to(device), voxel_size)
    # every frequency has the same weight, however steep the spectrum
    return ((power.flatten(-2)[..., index.to(device)] - noise[..., None]) / expected).mean(-1), float(len(index))


def _hann_window(n: int, device: torch.device) -> torch.Tensor:
    """Return a Hann window of ``n`` samples without its zero ends."""
    return torch.hann_window(n + 2, periodic=False, dtype=torch.float64, device=device)[1:-1]
