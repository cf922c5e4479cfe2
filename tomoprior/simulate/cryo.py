"""Recording of a frozen specimen: contrast transfer, radiation damage, and the noise of ice and of counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import Field

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.microscopy import CTF, Transfer, exposure_filter
from tomoprior.microscopy.strips import defocus_strips
from tomoprior.microscopy.transfer import pixel_size_in_angstrom
from tomoprior.settings import Settings
from tomoprior.simulate.microscope import Range

#: Share of a picture's height and width by which its mirror image continues it before it is filtered.
MARGIN = 0.25

#: Largest phase error of a recording's strips, in radians at the Nyquist frequency: half of what a reconstruction allows.
PHASE_ERROR = 0.25


class CryoSettings(Settings):
    """The microscope and the dose of a series of a frozen specimen."""

    defocus: Range = Field((2.0, 4.0), description="Underfocus in micrometers, from which each tilt draws uniformly.")
    dose: float = Field(120.0, ge=0, description="Electrons per square angstrom of the whole series, from 0 degrees outwards.")
    voltage: float = Field(300.0, ge=10, le=2000, description="Acceleration voltage in kilovolts.")
    spherical_aberration: float = Field(2.7, ge=0, description="Cs in millimeters.")
    amplitude_contrast: float = Field(0.07, ge=0, lt=1, description="Fraction of amplitude contrast.")
    b_factor: float = Field(0.0, ge=0, description="B of the envelope in square angstrom.")
    ice: float = Field(
        0.3, ge=0, le=1, description="Share of the noise variance that comes from ice and passes the CTF; the rest is white."
    )

    def transfer(self, geometry: Geometry, rng: Generator) -> Transfer:
        """Return the transfer functions of a series: drawn defocus, and the dose at the middle of each exposure.

        Raises
        ------
        InputError
            If the geometry has no unit of length.
        """
        n = geometry.n_angles
        low, high = self.defocus
        ctf = [
            CTF(
                float(micrometers) * 1e4,
                voltage=self.voltage,
                spherical_aberration=self.spherical_aberration,
                amplitude_contrast=self.amplitude_contrast,
                b_factor=self.b_factor,
            )
            for micrometers in rng.uniform(low, high, n)
        ]
        rank = np.empty(n)
        rank[np.argsort(np.abs(geometry.angles), kind="stable")] = np.arange(n)
        dose = (rank + 0.5) * self.dose / n if self.dose > 0 else None
        size = pixel_size_in_angstrom(geometry)
        return Transfer(geometry.detector, size, ctf=ctf, dose=None if dose is None else dose.tolist(), voltage=self.voltage)


def expose(
    clean: NDArray[np.float32],
    transfer: Transfer,
    snr: float | None,
    ice: float,
    rng: Generator,
    geometry: Geometry | None = None,
) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """Return images of projections, and the facts of their noise for the record.

    A picture continues as its mirror image beyond its borders before it is filtered; the periodic images of a reconstruction do
    not repeat this.

    Parameters
    ----------
    clean
        Projections, shape ``(n_angles, ny, nu)``.
    transfer
        Of the images.
    snr
        In every image, variance of the undamaged signal over variance of the noise; None for no noise.
    ice
        Share of the noise variance that passes the CTF.
    rng
        Source of random numbers.
    geometry
        Angles and columns, for the gradient of defocus across a tilted slab: strips of columns whose phase is right within
        ``PHASE_ERROR`` radians at the Nyquist frequency. None: one defocus for a whole image.
    """
    if transfer.ctf is None:
        raise InputError("an exposure needs a CTF for each tilt")
    out, stds = np.empty_like(clean), []
    ny, nu = transfer.image_shape
    my, mu = int(MARGIN * ny), int(MARGIN * nu)
    inner = slice(my, my + ny), slice(mu, mu + nu)
    strips = None if geometry is None else defocus_strips(transfer, geometry, PHASE_ERROR)
    windows = np.ones((1, nu)) if strips is None else strips.windows
    for i, picture in enumerate(clean):
        wide = np.pad(picture.astype(np.float64), ((my, my), (mu, mu)), mode="symmetric")
        h = transfer.ctf[i].on_grid(wide.shape, transfer.pixel_size)
        q = np.ones(())
        if transfer.dose is not None:
            q = exposure_filter(wide.shape, transfer.pixel_size, transfer.dose[i], transfer.voltage)
        signal, damaged = np.zeros(picture.shape), np.zeros(picture.shape)
        for s, window in enumerate(windows):
            part = wide if strips is None else wide * np.pad(window, mu, mode="symmetric")
            ctf = transfer.ctf[i] if strips is None else transfer.ctf[i].shifted(float(strips.offsets[i, s]))
            own = ctf.on_grid(wide.shape, transfer.pixel_size)
            signal += _filter(part, own)[inner]
            damaged += _filter(part, own * q)[inner]
        noise = np.zeros(picture.shape)
        if snr is not None:
            grain = _filter(rng.standard_normal(wide.shape), h)[inner]
            white = rng.standard_normal(picture.shape)
            noise = np.sqrt(ice) * grain / max(float(grain.std()), 1e-300) + np.sqrt(1 - ice) * white
            noise *= np.sqrt(signal.var() / snr)
        stds.append(float(noise.std()))
        out[i] = damaged + noise
    facts = {"noise": "none"} if snr is None else {"noise": "ice and white", "snr": snr, "ice": ice, "noise_std": stds}
    return out, facts


def _filter(picture: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.fft.irfft2(np.fft.rfft2(picture) * values, s=picture.shape))
