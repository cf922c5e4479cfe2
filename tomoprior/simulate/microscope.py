"""A transmission electron microscope: from line integrals to intensity, blur and counts, with errors of every tilt."""

from __future__ import annotations

import math
from typing import Annotated, Any

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from pydantic import BeforeValidator, Field, ValidationInfo, field_validator
from scipy.fft import dctn, idctn
from scipy.ndimage import affine_transform, gaussian_filter

from tomoprior.series.binning import block_mean
from tomoprior.settings import Settings


def _parse_range(value: Any) -> Any:
    """Return a range: ``0.3`` is the range from 0.3 to 0.3, and ``"0,1"`` from a command line is (0, 1)."""
    if isinstance(value, str):
        value = tuple(part.strip() for part in value.split(","))
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        value = (value,)
    return value * 2 if isinstance(value, tuple) and len(value) == 1 else value


#: Lowest and highest value of a series; a single number stands for both.
Range = Annotated[tuple[float, float], BeforeValidator(_parse_range)]


#: Least and largest value of each range; without an entry from 0. Values outside are typing errors, or leave nothing to count.
LIMITS = {
    "thickness": (0.05, 1.0),
    "roughness_length": (0.0, 1000.0),
    "stain_gradient": (-0.9, 0.9),  # more would be a negative stain at the other face
    "gamma": (0.1, 10.0),
    "bead_radius": (0.5, 50.0),
    "angle_error": (0.0, 5.0),
    "axis_error": (-10.0, 10.0),
    "shift_error": (0.0, 50.0),
    "drift": (0.0, 50.0),
    "magnification_error": (0.0, 5.0),
    "attenuation": (1e-3, 20.0),
    "blur": (0.0, 50.0),
    "dose": (1.0, 1e12),  # NumPy's Poisson numbers are 64-bit
    "gain_error": (0.0, 1.0),
    "offset_error": (0.0, 1.0),
}


class MicroscopeSettings(Settings):
    """Ranges from which a series draws its errors, uniformly unless stated otherwise."""

    thickness: Range = Field((0.75, 1.0), description="Mean thickness of the section, share of the grid's height.")
    roughness: Range = Field((0.0, 1.5), description="Standard deviation of the section's faces, voxels.")
    roughness_length: Range = Field((6.0, 20.0), description="Distance over which the faces vary, voxels.")
    stain_gradient: Range = Field((-0.15, 0.15), description="Stain at one face beyond that in the middle, share.")
    gamma: Range = Field((0.7, 1.4), description="Exponent of the density: how the stain takes.")
    beads: Range = Field((0, 0), description="Gold beads, number (rounded).")
    bead_radius: Range = Field((2.0, 4.0), description="Radius of the gold beads, voxels.")
    bead_density: Range = Field((3.0, 6.0), description="Density of the gold beads, relative to the densest tissue.")
    angle_error: Range = Field((0.0, 0.2), description="Standard deviation of the tilt angles' errors, degrees.")
    axis_error: Range = Field((-0.3, 0.3), description="In-plane rotation of the tilt axis away from y, degrees.")
    shift_error: Range = Field((0.0, 0.5), description="Standard deviation of each tilt's shift that alignment left, pixels.")
    drift: Range = Field((0.0, 0.5), description="Root mean square of a random walk of the shifts, end to end, pixels.")
    magnification_error: Range = Field((0.0, 0.2), description="Standard deviation of each tilt's magnification, percent.")
    attenuation: Range = Field((0.3, 1.2), description="Mean of -ln(transmission) at the least tilt.")
    saturation: Range = Field(
        (0.0, 0.2), description="b of p -> (1 - exp(-b p)) / b for p = -ln(transmission): multiple scattering."
    )
    blur: Range = Field((0.3, 0.8), description="Gaussian point spread, standard deviation in pixels.")
    defocus: Range = Field((0.0, 0.0), description="Underfocus, micrometer; 0 for no contrast transfer function.")
    voltage: float = Field(300.0, gt=0, description="Accelerating voltage, kilovolt; only the transfer function needs it.")
    amplitude_contrast: float = Field(0.5, gt=0, le=1, description="Share of amplitude contrast in the transfer function.")
    dose: Range = Field((500.0, 5000.0), description="Electrons per pixel and tilt; logarithmic between the two.")
    read_noise: Range = Field((0.0, 3.0), description="Standard deviation of the camera's noise, electrons.")
    gain_error: Range = Field((0.0, 0.05), description="Standard deviation of each tilt's brightness, share.")
    offset_error: Range = Field(
        (0.0, 0.005), description="Standard deviation of each tilt's dark level, share of the full beam."
    )
    outliers: float = Field(0.1, ge=0, le=1, description="Share of the series that have one to three spoilt tilts.")

    @field_validator("*")
    @classmethod
    def _within(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, tuple):
            low, high = value
            least, most = LIMITS.get(str(info.field_name), (0.0, math.inf))
            if not low <= high:
                raise ValueError("must run from a lower to a higher value")
            if low < least or high > most:
                raise ValueError(f"must lie within {least:g} to {most:g}" if most < math.inf else f"must be {least:g} or more")
        return value

    def draw(self, rng: Generator) -> dict[str, float]:
        """Return one value of each range."""
        drawn = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if isinstance(value, tuple):
                u = float(rng.random())
                low, high = value
                drawn[name] = low * (high / low) ** u if name == "dose" else low + u * (high - low)
            else:
                drawn[name] = float(value)
        return drawn


def tilt_errors(n: int, drawn: dict[str, float], rng: Generator) -> dict[str, NDArray[np.float64]]:
    """Return the errors of ``n`` tilts.

    ``angle`` in radians, ``shift`` (n, 2) in pixels, ``magnification`` and ``gain`` as factors, ``offset`` in full beams.
    A spoilt tilt has ``kind`` 1 (jumped), 2 (blurred) or 3 (partly hidden), others 0.
    """
    walk = np.cumsum(rng.standard_normal((n, 2)), axis=0)
    walk -= walk.mean(axis=0)
    steps = math.sqrt(max(n, 1))
    shift = drawn["shift_error"] * rng.standard_normal((n, 2)) + drawn["drift"] * walk / steps
    kind = np.zeros(n, dtype=int)
    spoilt = rng.random() < drawn["outliers"]
    which, kinds = rng.permutation(n)[: int(rng.integers(1, 4))], rng.integers(1, 4, 3)
    jump = rng.uniform(5, 10, (n, 2)) * rng.choice([-1.0, 1.0], (n, 2))
    if spoilt and n > 3:
        kind[which] = kinds[: len(which)]
        shift[kind == 1] += jump[kind == 1]
    return {
        "angle": np.deg2rad(drawn["angle_error"]) * rng.standard_normal(n),
        "shift": shift,
        "magnification": 1 + drawn["magnification_error"] / 100 * rng.standard_normal(n),
        "gain": np.exp(drawn["gain_error"] * rng.standard_normal(n)),
        "offset": drawn["offset_error"] * rng.standard_normal(n),
        "kind": kind.astype(float),
    }


def warp(image: NDArray[np.float32], shift: NDArray[np.float64], rotation: float, magnification: float) -> NDArray[np.float32]:
    """Return ``image`` enlarged and rotated about its middle, then shifted; outside, it continues as its mirror image.

    Parameters
    ----------
    shift
        Rows and columns in pixels: a feature that belongs at row r is found at row ``r + shift[0]``, as in
        ``tomoprior.geometry``.
    rotation
        Radians, from growing rows towards growing columns.
    """
    c, s = math.cos(rotation), math.sin(rotation)
    matrix = np.array([[c, s], [-s, c]]) / magnification
    middle = (np.array(image.shape) - 1) / 2
    offset = middle - matrix @ (middle + shift)
    return np.asarray(affine_transform(image, matrix, offset, order=1, mode="reflect"), dtype=np.float32)


def transfer(depth: NDArray[np.float32], pixel_nm: float, drawn: dict[str, float]) -> NDArray[np.float32]:
    """Return the weak-phase contrast transfer of ``depth`` (-ln transmission), 1 at zero frequency; no spherical aberration.

    Outside its borders the picture continues as its mirror image: a periodic continuation would ring there.
    """
    if drawn["defocus"] == 0:
        return depth
    volts = drawn["voltage"] * 1e3
    wavelength = 1.22643 / math.sqrt(volts + 0.97845e-6 * volts**2)  # nm
    ky, kx = (np.arange(n) / (2 * n * pixel_nm) for n in depth.shape)
    phase = math.pi * wavelength * drawn["defocus"] * 1e3 * (ky[:, None] ** 2 + kx**2)
    w = drawn["amplitude_contrast"]
    h = np.cos(phase) + math.sqrt(1 - w * w) / w * np.sin(phase)
    return np.asarray(idctn(dctn(depth, norm="ortho") * h, norm="ortho"), dtype=np.float32)


def expose_tilt(
    lines: NDArray[np.float32], per_line: float, kind: int, gain: float, offset: float, drawn: dict[str, float],
    bins: int, pixel_nm: float, rng: Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:  # fmt: skip
    """Return one recorded tilt as line integrals, and their variance.

    Parameters
    ----------
    lines
        Line integrals on pixels ``bins`` times finer than the camera's.
    per_line
        -ln(transmission) of a line integral of 1.
    kind
        0, or the kind of a spoilt tilt, as in ``tilt_errors``.
    gain, offset
        Brightness as a factor, and dark level in full beams.
    drawn
        Values drawn from the settings.
    bins
        Fine pixels per pixel of the camera along each axis.
    pixel_nm
        Edge of a fine pixel.

    Returns
    -------
    measured, variance
        ``-ln(I / I0) / per_line`` of counts ``I``, and its variance by first-order propagation from the counts. The variance is
        right within a few percent from some ten counts above the camera's noise, and too large below.
    """
    depth = transfer(lines * np.float32(per_line), pixel_nm, drawn)
    if (b := drawn["saturation"]) > 0:
        depth = -np.expm1(-b * depth) / np.float32(b)
    beam = np.exp(-depth)
    if kind == 3:
        beam = _hide_side(beam, rng)
    sigma = drawn["blur"] * bins * (6.0 if kind == 2 else 1.0)
    if sigma > 0:
        beam = gaussian_filter(beam, sigma, mode="nearest", truncate=3)
    beam = block_mean(beam, (bins, bins))
    dose, read = drawn["dose"], drawn["read_noise"]
    expected = np.maximum(dose * (gain * beam + offset), 0.0)
    counted = rng.poisson(expected) + read * rng.standard_normal(beam.shape)
    counted = np.maximum(counted, 0.5)  # the logarithm of zero is not finite
    measured = -np.log(counted / dose) / per_line
    variance = (counted + read**2) / counted**2 / per_line**2
    return measured.astype(np.float32), variance.astype(np.float32)


def _hide_side(beam: NDArray[np.float32], rng: Generator) -> NDArray[np.float32]:
    """Return the beam with a grid bar over one side of the picture."""
    share = float(rng.uniform(0.1, 0.3))
    width = max(1, int(share * beam.shape[1]))
    out = beam.copy()
    out[:, -width:] *= np.float32(0.05)
    return out
