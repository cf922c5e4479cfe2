"""Transfer functions of a tilt series: one real, even filter for each image."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.microscopy.ctf import CTF, electron_wavelength
from tomoprior.microscopy.exposure import exposure_filter
from tomoprior.microscopy.grid import Floats
from tomoprior.microscopy.strips import defocus_strips
from tomoprior.units import convert_length


@dataclass(frozen=True)
class Transfer:
    """Transfer functions of a tilt series, computed when they are read: CTF times exposure filter.

    The value at frequency 0 is 0: the mean of an image is ice and background, not specimen, and a fit must not use it.

    Parameters
    ----------
    image_shape
        Rows and columns ``(ny, nu)`` of the images.
    pixel_size
        Edge of a pixel in angstrom.
    ctf
        One CTF for each tilt, or None for no contrast transfer.
    dose
        Accumulated dose of each tilt in electrons per square angstrom, or None for no damage.
    voltage
        Acceleration voltage in kilovolts, for the damage.
    hand
        1 or -1: sign with which the defocus grows along the beam, from low to high ``x sin(angle) + z cos(angle)``, so that it
        changes across the image of a tilted slab. 0: one defocus for a whole image.

    Raises
    ------
    InputError
        Without a CTF and a dose, if their numbers differ, or for another hand.

    Examples
    --------
    >>> from tomoprior.microscopy import CTF
    >>> transfer = Transfer((32, 64), 5.0, ctf=[CTF(20000.0), CTF(21000.0)], dose=[3.0, 6.0])
    >>> transfer.array().shape
    (2, 32, 33)
    >>> transfer.select([1]).ctf[0].defocus_u
    21000.0
    """

    image_shape: tuple[int, int]
    pixel_size: float
    ctf: Sequence[CTF] | None = None
    dose: Sequence[float] | None = None
    voltage: float = 300.0
    hand: int = 1

    def __post_init__(self) -> None:
        if self.ctf is not None:
            object.__setattr__(self, "ctf", tuple(self.ctf))
        if self.dose is not None:
            dose = np.asarray(self.dose, np.float64)
            if dose.ndim != 1 or not np.all(np.isfinite(dose)) or np.any(dose < 0):
                raise InputError("the dose of a tilt series needs one finite number from 0 for each tilt")
            object.__setattr__(self, "dose", tuple(dose.tolist()))
        counts = {len(values) for values in (self.ctf, self.dose) if values is not None}
        if not counts:
            raise InputError("a transfer function needs a CTF or a dose for each tilt")
        if len(counts) > 1:
            raise InputError(f"{len(self.ctf or ())} CTFs do not fit the doses of {len(self.dose or ())} tilts")
        if self.hand not in (-1, 0, 1):
            raise InputError(f"the hand of the defocus must be 1, -1 or 0, got {self.hand!r}")

    @property
    def n_angles(self) -> int:
        """Number of tilts."""
        return len(self.ctf if self.ctf is not None else self.dose or ())

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape ``(n_angles, ny, nu // 2 + 1)`` of ``array()``."""
        ny, nu = self.image_shape
        return self.n_angles, ny, nu // 2 + 1

    def tilt(self, i: int, offset: float = 0.0) -> NDArray[np.float64]:
        """Return the filter of tilt ``i``, shape ``(ny, nu // 2 + 1)``, at its defocus plus ``offset`` angstrom."""
        values = np.ones(self.shape[1:])
        if self.ctf is not None:
            values *= self.ctf[i].shifted(offset).on_grid(self.image_shape, self.pixel_size)
        if self.dose is not None:
            values *= exposure_filter(self.image_shape, self.pixel_size, self.dose[i], self.voltage)
        values[0, 0] = 0.0
        return values

    def array(self) -> NDArray[np.float32]:
        """Return the filters of all tilts, float32, shape ``(n_angles, ny, nu // 2 + 1)``."""
        return np.stack([self.tilt(i).astype(np.float32) for i in range(self.n_angles)])

    def by_strips(self, geometry: Geometry) -> tuple[NDArray[np.float32], Floats] | None:
        """Return the filters of strips of columns, or None where one defocus serves a whole image.

        Parameters
        ----------
        geometry
            Angles, columns and tilt axis; see ``tomoprior.microscopy.strips``.

        Returns
        -------
        values, windows
            Shapes ``(n_strips, n_angles, ny, nu // 2 + 1)`` and ``(n_strips, nu)``.
        """
        strips = defocus_strips(self, geometry)
        if strips is None:
            return None
        values = np.empty((len(strips.windows), *self.shape), np.float32)
        for i, s in np.ndindex(strips.offsets.shape):
            values[s, i] = self.tilt(i, float(strips.offsets[i, s]))
        return values, strips.windows

    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray[Any]:
        return self.array().astype(dtype or np.float32, copy=False)

    def select(self, index: ArrayLike) -> Transfer:
        """Return the transfer functions of some tilts, in the order of their indices."""
        views = np.asarray(index, np.intp)
        return replace(
            self,
            ctf=None if self.ctf is None else [self.ctf[i] for i in views],
            dose=None if self.dose is None else [self.dose[i] for i in views],
        )

    def binned(self, factor: int) -> Transfer:
        """Return the transfer functions of images binned by ``factor``."""
        ny, nu = self.image_shape
        return replace(self, image_shape=(ny // factor, nu // factor), pixel_size=self.pixel_size * factor)

    def describe(self, geometry: Geometry) -> dict[str, Any]:
        """Return the facts for a record: defocus and dose of the tilts, the strips of its gradient, and what they neglect.

        Parameters
        ----------
        geometry
            Geometry of the reconstruction. Its angles, width and thickness give the depth of the specimen.
        """
        record: dict[str, Any] = {"pixel_size": self.pixel_size, "images": "periodic", "zero_frequency": 0.0}
        if self.ctf is not None:
            strips = defocus_strips(self, geometry)
            n = 1 if strips is None else len(strips.windows)
            neglected = neglected_gradient(geometry, self.pixel_size, self.ctf[0].voltage)
            record["ctf"] = {
                "defocus": [round(float(c.mean_defocus), 1) for c in self.ctf],
                "voltage": self.ctf[0].voltage,
                "hand": self.hand,
                "strips": n,
                "neglected_gradient_radians_at_nyquist": {**neglected, "across": neglected["across"] / n},
            }
        if self.dose is not None:
            record["dose"] = [round(d, 3) for d in self.dose]
        return record


def neglected_gradient(geometry: Geometry, pixel_size: float, voltage: float) -> dict[str, float]:
    """Return the largest phase errors of a CTF with one defocus for a whole image, in radians at the Nyquist frequency.

    Parameters
    ----------
    geometry
        Angles, width of the detector and thickness of the grid.
    pixel_size
        Edge of a pixel in angstrom.
    voltage
        Acceleration voltage in kilovolts.

    Returns
    -------
    dict
        ``across``: between the axis and the edge of the detector, where the slab is ``u tan(angle)`` higher or lower.
        ``depth``: between the middle of the grid and its faces along the beam, ``thickness / (2 cos(angle))``.
    """
    per_angstrom = math.pi * electron_wavelength(voltage) / (2 * pixel_size) ** 2
    tangent, cosine = np.abs(np.tan(geometry.angles)), np.abs(np.cos(geometry.angles))
    half_width, half_depth = geometry.detector[1] / 2 * pixel_size, geometry.shape[0] / 2 * pixel_size
    return {
        "across": float(per_angstrom * half_width * tangent.max()),
        "depth": float(per_angstrom * half_depth / max(float(cosine.min()), 1e-3)),
    }


def pixel_size_in_angstrom(geometry: Geometry) -> float:
    """Return the voxel size in angstrom; raises InputError if the unit is ``pixel``."""
    if geometry.unit == "pixel":
        raise InputError("a contrast transfer function needs the pixel size: give --voxel-size and --unit")
    return convert_length(geometry.voxel_size, geometry.unit, "angstrom")


def check_transfer(transfer: Any, geometry: Geometry) -> Any:
    """Return the transfer function of a series: a ``Transfer``, or a finite float32 array.

    Raises
    ------
    InputError
        If it is not real and finite, or its shape is not ``(n_angles, ny, nu // 2 + 1)``.
    """
    n, ny, nu = geometry.range_shape
    expected = (n, ny, nu // 2 + 1)
    if not isinstance(transfer, Transfer):
        array = np.asarray(transfer)
        if array.dtype.kind not in "fiu":
            raise InputError(f"a transfer function must be real, got dtype {array.dtype}")
        transfer = array.astype(np.float32, copy=False)
        if not np.all(np.isfinite(transfer)):
            raise InputError("a transfer function must be finite")
    if tuple(transfer.shape) != expected or (isinstance(transfer, Transfer) and transfer.image_shape != (ny, nu)):
        raise InputError(f"the transfer function needs shape {expected} (angle, ky, kx), got {tuple(transfer.shape)}")
    return transfer


def select_transfer(transfer: Any, index: ArrayLike) -> Any:
    """Return the transfer function of some tilts; None stays None."""
    if transfer is None:
        return None
    return transfer.select(index) if isinstance(transfer, Transfer) else transfer[np.asarray(index, np.intp)]


def bin_transfer(transfer: Any, factor: int, image_shape: tuple[int, int]) -> Any:
    """Return the transfer function of binned images; None stays None.

    Parameters
    ----------
    transfer
        ``Transfer``, or an array on the grid of the images; the low frequencies are cut out of an array.
    factor
        Pixels of the old images along each axis of a new one.
    image_shape
        ``(ny, nu)`` of the old images.

    Raises
    ------
    InputError
        For an array whose images do not have a multiple of ``factor`` rows and columns: their frequencies differ.
    """
    if transfer is None or isinstance(transfer, Transfer):
        return None if transfer is None else transfer.binned(factor)
    ny, nu = image_shape
    if ny % factor or nu % factor:
        raise InputError(f"a transfer function given as an array fits no binning by {factor} of {ny} x {nu} pixels")
    rows = np.rint(np.fft.fftfreq(ny // factor) * (ny // factor)).astype(int)
    return transfer[:, rows, : nu // factor // 2 + 1]
