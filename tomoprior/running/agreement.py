"""Agreement of reconstructions with images that they have not seen, frequency by frequency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.projector import Projector, SpectrumProjector
from tomoprior.running.halves import HalfReconstructions
from tomoprior.series import TiltSeries

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Agreement:
    """Inner products of projected members with each other and with images, one shell of frequencies after the other.

    The images of a half are compared with the reconstruction of the other half. Their noise is independent, so that the
    products have the expectation of noise-free images.

    Attributes
    ----------
    frequency
        Cycles per voxel of the shells, shape ``(n_shells,)``.
    with_images
        Products of members and images, shape ``(n_shells, n_members)``.
    with_members
        Products of the members' means, shape ``(n_shells, n_members, n_members)``.
    noise
        Mean square of the images' values that the best member does not explain, shape ``(n_shells,)``.
    total
        Sum of the squares of all images.
    """

    frequency: Floats
    with_images: Floats
    with_members: Floats
    noise: Floats
    total: float

    @property
    def explained(self) -> Floats:
        """Part of the images' squares that each member explains with its own gain, shape ``(n_shells, n_members)``."""
        return np.asarray(gains(self) * self.with_images)


def gains(agreement: Agreement) -> Floats:
    """Return the factor from 0 with which each member alone fits the images best, shape ``(n_shells, n_members)``."""
    power = np.einsum("kii->ki", agreement.with_members)
    products = np.maximum(agreement.with_images, 0.0)
    return np.asarray(np.divide(products, power, out=np.zeros_like(power), where=power > 0))


def measure_agreement(results: Sequence[HalfReconstructions]) -> Agreement:
    """Return the agreement of members with the images of the other half.

    Parameters
    ----------
    results
        Results of ``reconstruct_halves`` from the same halves.
    """
    size, m = max(results[0].mean.geometry.shape), len(results)
    pair = results[0].series
    assert pair is not None
    products = _products(results, pair[0], "second", size) + _products(results, pair[1], "first", size)
    count, squares, with_images, with_members = np.split(products, [1, 2, 2 + m], axis=1)
    frequency = np.arange(len(products)) / size
    agreement = Agreement(
        frequency, with_images, with_members.reshape(-1, m, m), np.zeros_like(frequency), max(float(squares.sum()), 1e-300)
    )
    rest = squares[:, 0] - agreement.explained[:, int(np.argmax(agreement.explained.sum(0)))]
    return replace(agreement, noise=np.maximum(rest, 0.0) / np.maximum(count[:, 0], 1.0))


def _products(results: Sequence[HalfReconstructions], half: TiltSeries, name: str, size: int) -> Floats:
    """Return sums over the spectra of a half's images, a row for each shell.

    The columns are the number of values, the images' squares, the products of images with each member's reconstruction
    ``name`` of the other half, and those of the members' means with each other.
    """
    n, ny, nu = half.geometry.range_shape
    transfer = np.ones((n, ny, nu // 2 + 1), np.float32) if half.transfer is None else half.transfer
    A = SpectrumProjector(Projector(half.geometry, "cpu"), transfer)
    radius = np.hypot(np.fft.fftfreq(ny)[:, None], np.fft.rfftfreq(nu)[None, :])
    shell = np.repeat(np.rint(radius * size).astype(np.intp), 2, axis=-1).ravel()
    weights = np.ones(n) if half.weights is None else np.asarray(half.weights, np.float64).reshape(n, -1).mean(1)

    def project(volume: object) -> Floats:
        return A(torch.from_numpy(np.ascontiguousarray(volume, np.float32))).numpy().astype(np.float64)

    def add_up(a: Floats, b: Floats) -> Floats:
        return np.bincount(shell, np.einsum("n,nyk,nyk->yk", weights, a, b).ravel()).astype(np.float64)

    y = A.spectrum(torch.from_numpy(np.array(half.projections[...], np.float32))).numpy().astype(np.float64)
    predicted = [project(getattr(result, name).volume) for result in results]
    means = [project(result.mean.volume) for result in results]
    columns = [np.bincount(shell) * weights.sum(), add_up(y, y), *(add_up(y, p) for p in predicted)]
    return np.stack(columns + [add_up(a, b) for a in means for b in means], axis=-1)[: size // 2 + 1]
