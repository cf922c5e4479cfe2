"""Projector of a microscope whose range is the spectra of its images."""

from __future__ import annotations

import math
from typing import Any

import torch

from tomoprior.projector.filtered import FilteredProjector
from tomoprior.projector.projector import Projector
from tomoprior.projector.strip_filters import filter_strips, filter_strips_adjoint


class SpectrumProjector(FilteredProjector):
    """``H F A``: the spectra of the filtered projections, as real numbers, with the same norms as the images.

    A fit to spectra has the same least-squares solution as a fit to images. It takes one Fourier transform instead of two, and
    has step sizes for each frequency, so that frequencies with little transfer converge as fast as others.

    The range is ``(n_angles, ny, 2 * (nu // 2 + 1))``: real and imaginary parts in turn, from ``rfft2`` with ``norm="ortho"``,
    times the square root of 2 for values that also stand for their conjugate.

    Parameters
    ----------
    projector, transfer, windows
        As for ``FilteredProjector``.

    Raises
    ------
    InputError
        As ``FilteredProjector``.
    """

    def __init__(self, projector: Projector, transfer: Any, windows: torch.Tensor | None = None) -> None:
        super().__init__(projector, transfer, windows)
        n, ny, nu = projector.geometry.range_shape
        self.range_shape = (n, ny, 2 * (nu // 2 + 1))
        self._columns = nu
        scale = torch.full((nu // 2 + 1,), math.sqrt(2.0))
        scale[0] = 1.0
        if nu % 2 == 0:
            scale[-1] = 1.0
        self._scale = scale.to(self.device)
        self._forward, self._backward = self.transfer * self._scale, self.transfer / self._scale

    def bound_rows(self, sums: torch.Tensor) -> torch.Tensor:
        """Return divisors of the rows of this operator, shape ``range_shape``; see ``FilteredProjector.bound_rows``.

        A value of a spectrum has the transfer of its own frequency.

        Parameters
        ----------
        sums
            Row sums of A, broadcasting over the shape of the images, ``(n_angles, ny, nu)``.

        Returns
        -------
        torch.Tensor
            Shape ``range_shape``.
        """
        return (sums.amax((1, 2), keepdim=True) * self.peak).repeat_interleave(2, dim=-1)

    def spectrum(self, images: torch.Tensor) -> torch.Tensor:
        """Return the spectra of recorded images; 0 where the transfer function is 0.

        Parameters
        ----------
        images
            float32, shape ``(n_angles, ny, nu)``, on the operator's device.

        Returns
        -------
        torch.Tensor
            Real numbers of shape ``range_shape``, to which a volume is fitted.
        """
        passes = self.transfer != 0 if self.windows is None else (self.transfer != 0).any(0)
        spectrum = torch.fft.rfft2(images, norm="ortho").mul_(self._scale).mul_(passes)
        return torch.view_as_real(spectrum).flatten(-2)

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        images = Projector._apply(self, batch)
        if self.windows is None:
            spectrum = torch.fft.rfft2(images, norm="ortho").mul_(self._forward)
        else:
            spectrum = filter_strips(images, self._forward, self.windows, "ortho")
        return torch.view_as_real(spectrum).flatten(-2)

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        pairs = batch.reshape(*batch.shape[:-1], -1, 2).contiguous()
        shape = batch.shape[-2], self._columns
        if self.windows is not None:
            spectrum = torch.view_as_complex(pairs)
            return Projector._apply_adjoint(self, filter_strips_adjoint(spectrum, self._backward, self.windows, shape, "ortho"))
        images: torch.Tensor = torch.fft.irfft2(torch.view_as_complex(pairs) * self._backward, s=shape, norm="ortho")
        return Projector._apply_adjoint(self, images)
