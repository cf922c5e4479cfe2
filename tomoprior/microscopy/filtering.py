"""Filters of images: any transfer function, phase flipping, and weighting by dose."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.microscopy.exposure import exposure_filter
from tomoprior.microscopy.transfer import Transfer


def filter_images(images: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """Return images multiplied by a transfer function in Fourier space.

    An image is periodic: what its point-spread function carries beyond one edge enters at the other. The map is its own
    adjoint, because the transfer function is real and even.

    Parameters
    ----------
    images
        Shape ``(..., n_angles, ny, nu)``.
    transfer
        Real, shape ``(n_angles, ny, nu // 2 + 1)``.
    """
    filtered: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(images).mul_(transfer), s=images.shape[-2:])
    return filtered


def flip_phases(images: ArrayLike, transfer: Any) -> NDArray[np.float32]:
    """Return images whose negative frequencies are inverted: multiplied by the sign of the transfer function.

    Parameters
    ----------
    images
        Shape ``(n_angles, ny, nu)``.
    transfer
        ``Transfer`` or array; frequencies at which it is zero stay as they are.
    """
    return _apply(images, lambda i: np.where(_tilt(transfer, i) < 0, -1.0, 1.0))


def weight_by_dose(images: ArrayLike, transfer: Transfer) -> NDArray[np.float32]:
    """Return images weighted by their exposure filters, each frequency divided by the root mean square of its filters.

    White noise of equal variance in all images keeps its mean power at each frequency (Grant and Grigorieff, eLife 4 (2015)
    e06980, eq. 9, up to the number of images).

    Raises
    ------
    InputError
        If the transfer function has no dose.
    """
    if transfer.dose is None:
        raise InputError("weights by dose need the dose of each tilt")
    shape, size, voltage = transfer.image_shape, transfer.pixel_size, transfer.voltage
    filters = np.stack([exposure_filter(shape, size, dose, voltage) for dose in transfer.dose])
    filters /= np.sqrt(np.mean(filters**2, axis=0))
    return _apply(images, lambda i: filters[i])


def _tilt(transfer: Any, i: int) -> NDArray[Any]:
    return transfer.tilt(i) if isinstance(transfer, Transfer) else np.asarray(transfer[i])


def _apply(images: ArrayLike, values: Callable[[int], NDArray[Any]]) -> NDArray[np.float32]:
    stack = np.asarray(images, np.float32)
    out = np.empty_like(stack)
    for i, image in enumerate(stack):
        out[i] = np.fft.irfft2(np.fft.rfft2(image) * values(i), s=image.shape)
    return out
