"""Filters of images in strips of columns: each strip has a transfer function of its own."""

from __future__ import annotations

from collections.abc import Sequence

import torch


def filter_strips(images: torch.Tensor, transfer: torch.Tensor, windows: torch.Tensor, norm: str = "backward") -> torch.Tensor:
    """Return the sum over strips of the filtered spectra of what images have in each strip."""
    spectrum: torch.Tensor = torch.fft.rfft2(images * windows[0], norm=norm).mul_(transfer[0])
    for window, values in zip(windows[1:], transfer[1:], strict=True):
        spectrum += torch.fft.rfft2(images * window, norm=norm).mul_(values)
    return spectrum


def filter_strips_adjoint(
    spectrum: torch.Tensor, transfer: torch.Tensor, windows: torch.Tensor, shape: Sequence[int], norm: str = "backward"
) -> torch.Tensor:
    """Return the adjoint of ``filter_strips``, as images: the sum over strips of filtered images, each in its strip."""
    images: torch.Tensor = torch.fft.irfft2(spectrum * transfer[0], s=tuple(shape), norm=norm).mul_(windows[0])
    for window, values in zip(windows[1:], transfer[1:], strict=True):
        images += torch.fft.irfft2(spectrum * values, s=tuple(shape), norm=norm).mul_(window)
    return images
