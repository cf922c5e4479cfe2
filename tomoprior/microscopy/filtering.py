"""Filter images: by any transfer function, by phase flipping, or by the dose."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.microscopy.exposure import exposure_filter
from tomoprior.microscopy.strips import Strips, defocus_strips
from tomoprior.microscopy.transfer import Transfer

if TYPE_CHECKING:
    import torch


def filter_images(images: torch.Tensor, transfer: torch.Tensor) -> torch.Tensor:
    """Return images multiplied by a transfer function in Fourier space.

    Images are periodic: what a point-spread function carries beyond one edge enters at the other. The map is its own
    adjoint, because the transfer function is real and even.

    Parameters
    ----------
    images
        Shape ``(..., n_angles, ny, nu)``.
    transfer
        Real values, shape ``(n_angles, ny, nu // 2 + 1)``.

    Returns
    -------
    torch.Tensor
        Filtered images of the same shape.
    """
    import torch  # a series is read, and described, without it

    filtered: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(images).mul_(transfer), s=images.shape[-2:])
    return filtered


def flip_phases(images: ArrayLike, transfer: Any, geometry: Geometry | None = None) -> NDArray[np.float32]:
    """Return images with flipped phases: multiplied by the sign of the transfer function in Fourier space.

    Parameters
    ----------
    images
        Shape ``(n_angles, ny, nu)``.
    transfer
        ``Transfer`` or array; frequencies at which it is zero stay as they are.
    geometry
        With a geometry and a ``Transfer``, the signs are those of strips of columns where the gradient of defocus needs them.

    Returns
    -------
    NDArray
        float32, of the same shape.
    """
    stack = np.asarray(images)
    strips = defocus_strips(transfer, geometry) if geometry is not None and isinstance(transfer, Transfer) else None
    return np.stack([flip_image(image, transfer, i, strips) for i, image in enumerate(stack)])


def weight_by_dose(images: ArrayLike, transfer: Transfer) -> NDArray[np.float32]:
    """Return images weighted by their exposure filters, which are divided by their root mean square at each frequency.

    White noise of equal variance in all images keeps its mean power at each frequency (Grant and Grigorieff, eLife 4 (2015)
    e06980, eq. 9, up to the number of images).

    Parameters
    ----------
    images
        Shape ``(n_angles, ny, nu)``.
    transfer
        Transfer functions with a dose.

    Returns
    -------
    NDArray
        float32, of the same shape.

    Raises
    ------
    InputError
        If the transfer function has no dose.
    """
    filters = dose_weights(transfer)
    return np.stack([filter_image(image, filters[i]) for i, image in enumerate(np.asarray(images))])


def dose_weights(transfer: Transfer) -> NDArray[np.float64]:
    """Return the filters of ``weight_by_dose``, shape ``(n_angles, ny, nu // 2 + 1)``."""
    if transfer.dose is None:
        raise InputError("weights by dose need the dose of each tilt")
    shape, size, voltage = transfer.image_shape, transfer.pixel_size, transfer.voltage
    filters = np.stack([exposure_filter(shape, size, dose, voltage) for dose in transfer.dose])
    return np.asarray(filters / np.sqrt(np.mean(filters**2, axis=0)))


def flip_image(image: NDArray[Any], transfer: Any, i: int, strips: Strips | None = None) -> NDArray[np.float32]:
    """Return image ``i`` with its phases flipped, by strips of columns if there are any; see ``flip_phases``."""
    if strips is None:
        values = transfer.tilt(i) if isinstance(transfer, Transfer) else np.asarray(transfer[i])
        return filter_image(image, np.where(values < 0, -1.0, 1.0))
    out = np.zeros(image.shape)
    for window, offset in zip(strips.windows, strips.offsets[i], strict=True):
        out += window * filter_image(image, np.where(transfer.tilt(i, float(offset)) < 0, -1.0, 1.0))
    return out.astype(np.float32)


def filter_image(image: NDArray[Any], values: NDArray[Any]) -> NDArray[np.float32]:
    """Return an image, ``(ny, nu)``, multiplied by ``values`` on the grid of its ``rfft2``, as float32."""
    return np.asarray(np.fft.irfft2(np.fft.rfft2(image) * values, s=image.shape), np.float32)
