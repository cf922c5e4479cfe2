"""Scale and offset of a series, from its tilts alone: what takes a user's values to those that the prior was trained on."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.diffusion.spectrum import Spectrum

#: Frequencies in cycles per pixel that the contrast is measured over: below, thickness and illumination vary; above, there is
#: blur and noise.
BAND = (0.03, 0.12)

#: Standard deviation that the tissue has in the prior's units.
UNIT_STD = 0.5


@dataclass(frozen=True)
class Scale:
    """Densities ``x`` of a series and the prior's values ``u``: ``x = mean + gain u``."""

    mean: float
    gain: float

    @property
    def vacuum(self) -> float:
        """``u`` of an empty voxel."""
        return -self.mean / self.gain


def measure(
    projections: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor, geometry: Geometry, spectrum: Spectrum
) -> Scale:
    """Mean density and contrast from the tilts.

    ``mean`` is the median over tilts of the mean line integral, times cos(theta), over the grid's thickness. ``gain`` compares
    the power that the tilts have in ``BAND``, less that of white noise, with what tissue of the prior's spectrum would have: a
    tilt of a slab of thickness T shows ``S(k) T / cos(theta)`` at frequency k across the beam (Fourier slice theorem).

    Parameters
    ----------
    projections, valid
        ``(n_angles, ny, nu)``: line integrals, and 1 where a ray stays within the grid.
    noise
        Variance per tilt, shape ``(n_angles,)``.
    spectrum
        Of tissue in units where its standard deviation is ``UNIT_STD``.

    Raises
    ------
    InputError
        If the tilts show no contrast above their noise.
    """
    nz = geometry.shape[0]
    cos = np.maximum(np.abs(np.cos(geometry.angles)), 1e-3)
    means, ratios, weights = [], [], []
    for i in range(geometry.n_angles):
        columns = torch.nonzero(valid[i].any(0))[:, 0]
        if len(columns) < 6:
            continue
        image = projections[i][:, int(columns[0]) : int(columns[-1]) + 1].double()
        means.append(float(image.mean()) * cos[i] / nz)
        found = _ratio(image, float(noise[i]), spectrum, geometry.voxel_size)
        if found is not None:
            # x is foreshortened, so frequencies along it are those of the specimen over cos
            ratios.append(found[0] * cos[i] / nz)
            weights.append(found[1])
    if not ratios:
        raise InputError("no tilt shows enough of the specimen to take the contrast from: a wider detector is needed")
    gain2 = float(np.average(ratios, weights=weights))
    if not (math.isfinite(gain2) and gain2 > 0):
        raise InputError("the tilts show no contrast above their noise, so the prior's values cannot be scaled to them")
    return Scale(float(np.median(means)), math.sqrt(gain2))


def _ratio(image: torch.Tensor, noise: float, spectrum: Spectrum, voxel_size: float) -> tuple[float, float] | None:
    """Mean over the band of power per pixel, less the noise's, over the spectrum's own; and how many frequencies that is."""
    ny, nx = image.shape
    window = torch.outer(_hann(ny), _hann(nx))
    image = (image - (image * window).sum() / window.sum()) * window
    power = torch.fft.rfft2(image).abs().square() / window.square().sum()
    ky, kx = torch.fft.fftfreq(ny)[:, None].double(), torch.fft.rfftfreq(nx)[None].double()
    k2 = ky**2 + kx**2
    inside = (k2 >= BAND[0] ** 2) & (k2 <= BAND[1] ** 2)
    count = int(inside.sum())
    if count < 2:
        return None
    # every frequency has the same say, whatever the spectrum's fall
    return float(((power[inside] - noise) / spectrum(k2[inside], voxel_size)).mean()), float(count)


def _hann(n: int) -> torch.Tensor:
    return torch.hann_window(n + 2, periodic=False, dtype=torch.float64)[1:-1]
