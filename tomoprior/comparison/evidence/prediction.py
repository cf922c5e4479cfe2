"""The error of a predicted tilt, without what a volume cannot know: the tilt's brightness, background and misalignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import fft, ndimage

from tomoprior.metrics.fourier import fade_out

Floats = NDArray[np.float64]

#: Limits between the bands of detail, in cycles per pixel: coarse, medium, fine, finest.
BANDS = (1 / 16, 3 / 16, 5 / 16)
#: Largest shift that counts as misalignment, in pixels along each axis, and the steps that find it.
LARGEST_SHIFT, STEPS = 3.0, 3
#: Part of each axis over which a tilt fades out before its transform.
FADE = 0.3


@dataclass(frozen=True)
class Prediction:
    """The error of a predicted tilt.

    Attributes
    ----------
    square
        Squared error over the power of the tilt, after the fit of scale, offset and shift: 0 to 1.
    bands
        The same for each band of detail, with a scale of its own: 1 minus the squared correlation.
    scale, shift
        The fitted scale, and the shift (y, x) in pixels.
    """

    square: float
    bands: tuple[float, ...]
    scale: float
    shift: tuple[float, float]


def compare_with_prediction(
    tilt: NDArray[np.float32],
    prediction: NDArray[np.float32],
    ones: NDArray[np.float32],
    weights: NDArray[np.float32] | None = None,
) -> Prediction:
    """Fit a prediction to a measured tilt and return the error that remains.

    The fit has a scale that is not negative, a constant, a multiple of ``ones`` (a constant in the volume), and a shift.

    Parameters
    ----------
    tilt, prediction, ones
        The measured tilt, ``A x`` and ``A 1``, shape ``(ny, nu)``.
    weights
        Weight of each pixel, same shape, or None.
    """
    p, q = tilt.astype(np.float64), prediction.astype(np.float64)
    background = [np.ones_like(p), ones.astype(np.float64)]
    window = fade_out(np.ones_like(p), FADE) * (1.0 if weights is None else weights)
    shift = _fit_shift(p, q, background, window)
    measured = _transform(p, background, window)
    predicted = _transform(_move(q, shift), background, window)
    band = _band_of(p.shape)
    powers, own, cross = (
        np.bincount(band.ravel(), v.ravel(), len(BANDS) + 1)
        for v in (np.abs(measured) ** 2, np.abs(predicted) ** 2, (measured * predicted.conj()).real)
    )
    total, scale = float(powers.sum()), max(0.0, _ratio(cross.sum(), own.sum()))
    error = total - 2 * scale * cross.sum() + scale**2 * own.sum()
    bands = [1 - max(0.0, c) ** 2 / (a * b) if a * b > 0 else 1.0 for a, b, c in zip(powers, own, cross, strict=True)]
    square, *bands = (
        max(0.0, float(v)) for v in (error / total if total > 0 else 0.0, *bands)
    )  # rounding may give less than 0
    return Prediction(square, tuple(bands), scale, shift)


def _fit_shift(p: Floats, q: Floats, background: list[Floats], window: Floats) -> tuple[float, float]:
    """Return the shift of ``q`` that fits ``p`` best (Gauss and Newton); zero if no shift reduces the error."""
    best, shift = _misfit(p, [q, *background], window)[0], np.zeros(2)
    best_shift = shift
    for _ in range(STEPS):
        moved = _move(q, (shift[0], shift[1]))
        coefficients = _misfit(p, [moved, *_gradient(moved), *background], window)[1]
        if coefficients[0] <= 0:
            break
        shift = np.clip(shift - coefficients[1:3] / coefficients[0], -LARGEST_SHIFT, LARGEST_SHIFT)
        error, coefficients = _misfit(p, [_move(q, (shift[0], shift[1])), *background], window)
        if coefficients[0] > 0 and error < best:
            best, best_shift = error, shift
    return float(best_shift[0]), float(best_shift[1])


def _gradient(image: Floats) -> list[Floats]:
    """Return the derivatives along y and x; zero along an axis of one pixel, where no shift can be seen."""
    return [np.gradient(image, axis=axis) if n > 1 else np.zeros_like(image) for axis, n in enumerate(image.shape)]


def _misfit(p: Floats, columns: list[Floats], window: Floats) -> tuple[float, Floats]:
    """Return the sum of the weighted squares that a least-squares fit of the columns leaves, and its coefficients."""
    root = np.sqrt(window).ravel()
    matrix, right = np.stack([c.ravel() * root for c in columns], 1), p.ravel() * root
    coefficients = np.linalg.lstsq(matrix, right, rcond=1e-10)[0]
    return float(np.sum((right - matrix @ coefficients) ** 2)), np.asarray(coefficients, np.float64)


def _move(image: Floats, shift: tuple[float, float]) -> Floats:
    return image if shift == (0, 0) else np.asarray(ndimage.shift(image, shift, order=3, mode="nearest"), np.float64)


def _transform(image: Floats, background: list[Floats], window: Floats) -> NDArray[np.complex128]:
    """Return the Fourier transform of the windowed image without its background."""
    coefficients = _misfit(image, background, window)[1]
    rest = image - sum(c * b for c, b in zip(coefficients, background, strict=True))
    return np.asarray(fft.fft2(rest * window), np.complex128)


def _band_of(shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return the index of the band of each Fourier pixel."""
    ky, kx = (fft.fftfreq(n) for n in shape)
    return np.digitize(np.hypot(ky[:, None], kx[None, :]), BANDS)


def _ratio(a: float, b: float) -> float:
    return float(a / b) if b > 0 else 0.0
