"""Scale and offset of a series, from its tilts alone: what takes a user's values to those that the prior was trained on."""

from __future__ import annotations

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

#: Columns that a tilt must show of the specimen to count.
NARROWEST = 6


@dataclass(frozen=True)
class Scale:
    """Densities ``x`` of a series and the prior's values ``u``: ``x = mean + gain u``.

    ``mean`` is the mean density inside the section, so that ``u`` is zero on average there and ``vacuum`` outside. In a batch
    of series both are tensors that broadcast over their volumes, ``(batch, 1, 1, 1)``.
    """

    mean: float | torch.Tensor
    gain: float | torch.Tensor

    @property
    def vacuum(self) -> float | torch.Tensor:
        """``u`` of an empty voxel."""
        return -self.mean / self.gain


def measure(
    projections: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor, geometry: Geometry, spectrum: Spectrum,
    thickness: float | torch.Tensor | None = None,
) -> Scale:  # fmt: skip
    """Mean density and contrast of one series, from its tilts; see ``measure_batch``.

    Raises
    ------
    InputError
        If the tilts show no contrast above their noise.
    """
    found = measure_batch(projections, valid, noise, geometry, spectrum, thickness)
    if found is None:
        raise InputError("no tilt shows enough of the specimen to take the contrast from: a wider detector is needed")
    mean, gain = (float(v) for v in found)
    if not gain > 0:  # which NaN is not
        raise InputError("the tilts show no contrast above their noise, so the prior's values cannot be scaled to them")
    return Scale(mean, gain)


def measure_batch(
    projections: torch.Tensor, valid: torch.Tensor, noise: torch.Tensor, geometry: Geometry, spectrum: Spectrum,
    thickness: float | torch.Tensor | None = None,
) -> tuple[torch.Tensor, torch.Tensor] | None:  # fmt: skip
    """Mean density and contrast from the tilts.

    ``mean`` is the median over tilts of the mean line integral, times cos(theta), over the section's thickness. ``gain``
    compares the power that the tilts have in ``BAND``, less that of white noise, with what tissue of the prior's spectrum
    would have: a tilt of a slab of thickness T shows ``S(k) T / cos(theta)`` at frequency k across the beam (Fourier slice
    theorem).

    Parameters
    ----------
    projections
        ``(..., n_angles, ny, nu)``: line integrals.
    valid
        1 where a ray stays within the grid, ``(n_angles, ny, nu)``.
    noise
        Variance per tilt, ``(..., n_angles)``.
    spectrum
        Of tissue in units where its standard deviation is ``UNIT_STD``.
    thickness
        Of the section in voxels, one number or ``(...)``; by default it fills the grid.

    Returns
    -------
    mean, gain
        ``(...)`` each; ``gain`` is NaN where a series shows no contrast. None if no tilt shows enough columns.
    """
    high = geometry.shape[0] if thickness is None else thickness
    cos = np.maximum(np.abs(np.cos(geometry.angles)), 1e-3)
    columns = [np.flatnonzero(row) for row in valid.any(-2).cpu().numpy()]
    means, ratios, weights = [], [], []
    for i in range(geometry.n_angles):
        if len(columns[i]) < NARROWEST:
            continue
        image = projections[..., i, :, int(columns[i][0]) : int(columns[i][-1]) + 1].double()
        means.append(image.mean((-2, -1)) * cos[i])
        found = _ratio(image, noise[..., i].double(), spectrum, geometry.voxel_size)
        if found is not None:
            # x is foreshortened, so frequencies along it are those of the specimen over cos
            ratios.append(found[0] * cos[i])
            weights.append(found[1])
    if not ratios:
        return None
    share = torch.tensor(weights, dtype=torch.float64, device=projections.device)
    gain2 = (torch.stack(ratios, -1) * share).sum(-1) / share.sum() / high
    mean = torch.stack(means, -1)
    # of an even number the middle two's mean
    middle = mean.quantile(0.5, dim=-1) / high
    gain = torch.where(gain2 > 0, gain2.clamp_min(0).sqrt(), torch.nan)
    return middle.float(), gain.float()


def _ratio(
    image: torch.Tensor, noise: torch.Tensor, spectrum: Spectrum, voxel_size: float
) -> tuple[torch.Tensor, float] | None:
    """Mean over the band of power per pixel, less the noise's, over the spectrum's own; and how many frequencies that is."""
    ny, nx = image.shape[-2:]
    device = image.device
    window = torch.outer(_hann(ny, device), _hann(nx, device))
    image = (image - (image * window).sum((-2, -1), keepdim=True) / window.sum()) * window
    power = torch.fft.rfft2(image).abs().square() / window.square().sum()
    k2 = torch.fft.fftfreq(ny)[:, None].double() ** 2 + torch.fft.rfftfreq(nx)[None].double() ** 2
    index = torch.nonzero(((k2 >= BAND[0] ** 2) & (k2 <= BAND[1] ** 2)).flatten())[:, 0]
    if len(index) < 2:
        return None
    expected = spectrum(k2.flatten()[index].to(device), voxel_size)
    # every frequency has the same say, whatever the spectrum's fall
    return ((power.flatten(-2)[..., index.to(device)] - noise[..., None]) / expected).mean(-1), float(len(index))


def _hann(n: int, device: torch.device) -> torch.Tensor:
    return torch.hann_window(n + 2, periodic=False, dtype=torch.float64, device=device)[1:-1]
