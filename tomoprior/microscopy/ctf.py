"""The contrast transfer function (CTF) of an electron microscope for a thin weak phase object.

Conventions of CTFFIND and RELION: defocus in angstrom, underfocus positive; ``defocus_u`` lies along an axis at the astigmatism
angle from image x (columns) towards image y (rows). The sign is that of an image in which matter is bright, as tomoprior's
projections are: the CTF is positive at low frequencies. CTFFIND and RELION, whose images have dark matter, give its negative.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np

from tomoprior.errors import InputError
from tomoprior.microscopy.grid import Floats, image_frequencies


@dataclass(frozen=True)
class CTF:
    """Contrast transfer of one image (Rohou and Grigorieff, J. Struct. Biol. 192 (2015) 216, eq. 1 to 5).

    ``CTF(k) = sin(chi) exp(-B k^2 / 4)`` with ``chi = pi lambda k^2 (D - lambda^2 k^2 Cs / 2) + phase_shift + atan(w / sqrt(1 -
    w^2))``, wavelength lambda, amplitude contrast w, and defocus D in the direction of k.

    Parameters
    ----------
    defocus_u, defocus_v
        Largest and smallest defocus in angstrom, underfocus positive. ``defocus_v=None``: no astigmatism.
    astigmatism_angle
        Angle of the axis of ``defocus_u``, in radians from image x (columns) towards image y (rows).
    voltage
        Acceleration voltage in kilovolts.
    spherical_aberration
        Cs in millimeters.
    amplitude_contrast
        Fraction w from 0 to below 1.
    phase_shift
        Shift of a phase plate in radians.
    b_factor
        B of the envelope in square angstrom.

    Raises
    ------
    InputError
        For values that are not finite or outside their range.

    Examples
    --------
    >>> ctf = CTF(30000.0, amplitude_contrast=0.1)
    >>> values = ctf.on_grid((64, 64), 5.0)
    >>> values.shape, round(float(values[0, 0]), 3)
    ((64, 33), 0.1)
    """

    defocus_u: float
    defocus_v: float | None = None
    astigmatism_angle: float = 0.0
    voltage: float = 300.0
    spherical_aberration: float = 2.7
    amplitude_contrast: float = 0.07
    phase_shift: float = 0.0
    b_factor: float = 0.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not math.isfinite(value):
                raise InputError(f"{field.name} of a CTF must be a finite number, got {value!r}")
        if not 10 <= self.voltage <= 2000:
            raise InputError(f"the voltage must lie between 10 and 2000 kV, got {self.voltage:g}")
        if not 0 <= self.amplitude_contrast < 1:
            raise InputError(f"the amplitude contrast must lie from 0 to below 1, got {self.amplitude_contrast:g}")
        if self.b_factor < 0:
            raise InputError(f"the B-factor of the envelope must not be negative, got {self.b_factor:g}")

    @property
    def wavelength(self) -> float:
        """Relativistic wavelength of the electrons in angstrom."""
        return electron_wavelength(self.voltage)

    @property
    def mean_defocus(self) -> float:
        """Mean of the two defocus values in angstrom."""
        return self.defocus_u if self.defocus_v is None else (self.defocus_u + self.defocus_v) / 2

    def shifted(self, offset: float) -> CTF:
        """Return the CTF at a defocus that is larger by ``offset`` angstrom; the same object for 0."""
        if offset == 0:
            return self
        other = None if self.defocus_v is None else self.defocus_v + offset
        return replace(self, defocus_u=self.defocus_u + offset, defocus_v=other)

    def on_grid(self, shape: tuple[int, int], pixel_size: float) -> Floats:
        """Return the values on the grid of ``rfft2``, shape ``(ny, nu // 2 + 1)``.

        Parameters
        ----------
        shape
            Rows and columns ``(ny, nu)`` of the image.
        pixel_size
            Edge of a pixel in angstrom.
        """
        ky, kx = image_frequencies(shape, pixel_size)
        k2 = ky**2 + kx**2
        defocus: float | Floats = self.mean_defocus
        if self.defocus_v is not None and self.defocus_v != self.defocus_u:
            azimuth = np.arctan2(ky, kx)
            defocus = defocus + (self.defocus_u - self.defocus_v) / 2 * np.cos(2 * (azimuth - self.astigmatism_angle))
        wavelength, cs = self.wavelength, self.spherical_aberration * 1e7
        w = self.amplitude_contrast
        chi = math.pi * wavelength * k2 * (defocus - wavelength**2 * k2 * cs / 2)
        chi += self.phase_shift + math.atan2(w, math.sqrt(1 - w * w))
        return np.asarray(np.sin(chi) * np.exp(-self.b_factor / 4 * k2))


def electron_wavelength(voltage: float) -> float:
    """Return the relativistic wavelength in angstrom of electrons at ``voltage`` kilovolts."""
    volts = voltage * 1e3
    # h / sqrt(2 m e) in angstrom sqrt(volt), and e / (2 m c^2) per volt
    return 12.264259661 / math.sqrt(volts * (1 + 0.978475598e-6 * volts))
