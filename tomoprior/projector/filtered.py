"""Projectors of a microscope: projections multiplied by a transfer function, as images or as spectra.

Images are periodic: what a point-spread function carries beyond one edge of an image enters at the other. The transfer
function is real and even, so that the filter of an image is its own adjoint.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.geometry.checks import to_tilt_indices
from tomoprior.projector.projector import Projector


class FilteredProjector(Projector):
    """``H A``: a projector A followed by the transfer function H of each image.

    Parameters
    ----------
    projector
        The projector A.
    transfer
        The transfer function H: real values on the grid of ``rfft2`` of the images, shape ``(n_angles, ny, nu // 2 + 1)``, or
        an object that NumPy converts to such an array (``tomoprior.microscopy.Transfer``).

    Attributes
    ----------
    transfer
        Values of H, float32, on the projector's device.
    bare
        The projector A, without H.

    Raises
    ------
    InputError
        If the transfer function has another shape, is not real or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> from tomoprior.microscopy import CTF, Transfer
    >>> geometry = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 16, 16), voxel_size=5.0, unit="angstrom")
    >>> transfer = Transfer((16, 16), 5.0, ctf=[CTF(20000.0)] * 3)
    >>> A = tomoprior.FilteredProjector(tomoprior.Projector(geometry, "cpu"), transfer)
    >>> A(np.ones(geometry.shape)).shape
    (3, 16, 16)
    >>> A.adjoint_error() < 1e-6
    True
    """

    def __init__(self, projector: Projector, transfer: Any) -> None:
        super().__init__(projector.geometry, projector.device, projector.kind, projector._requested, budget=projector._budget)
        if projector.is_prepared:
            self._prepared = projector._backend
        n, ny, nu = projector.geometry.range_shape
        if isinstance(transfer, torch.Tensor):
            values = transfer.detach().to(self.device, torch.float32)
        else:
            array = np.asarray(transfer)
            if array.dtype.kind not in "fiu":
                raise InputError(f"a transfer function must be real, got dtype {array.dtype}")
            values = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)
        if tuple(values.shape) != (n, ny, nu // 2 + 1):
            raise InputError(
                f"the transfer function needs shape {(n, ny, nu // 2 + 1)} (angle, ky, kx), got {tuple(values.shape)}"
            )
        if not bool(torch.isfinite(values).all()):
            raise InputError("a transfer function must be finite")
        self.transfer = _make_even(values, nu)

    @property
    def bare(self) -> Projector:
        """The projector without the transfer function."""
        return Projector(self.geometry, self.device, self.kind, self._requested, budget=self._budget)

    @property
    def couples_slices(self) -> bool:
        """Whether slices are coupled: always, because the filter of an image couples its rows."""
        return True

    @property
    def gain(self) -> torch.Tensor:
        """Largest absolute value of each tilt's transfer function, shape ``(n_angles, 1, 1)``: the norm of its filter."""
        return self.transfer.abs().amax((1, 2), keepdim=True)

    def bound_rows(self, sums: torch.Tensor) -> torch.Tensor:
        """Return divisors of the rows of this operator, from the row sums of A; iterations converge with them.

        A filter mixes the pixels of an image. One number therefore bounds all of them: the largest row sum times the gain.

        Parameters
        ----------
        sums
            Row sums of A, broadcasting over its ``range_shape``.

        Returns
        -------
        torch.Tensor
            Shape ``(n_angles, 1, 1)``.
        """
        return sums.amax((1, 2), keepdim=True) * self.gain

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        return self._filter(super()._apply(batch))

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        return super()._apply_adjoint(self._filter(batch))

    def _filter(self, images: torch.Tensor) -> torch.Tensor:
        filtered: torch.Tensor = torch.fft.irfft2(torch.fft.rfft2(images).mul_(self.transfer), s=images.shape[-2:])
        return filtered

    def with_geometry(self, geometry: Geometry) -> Projector:
        """Return the operator for another grid and the same images.

        Parameters
        ----------
        geometry
            Its ``range_shape`` must be that of this operator's geometry.

        Returns
        -------
        FilteredProjector
            Of the same class, with the same transfer function.

        Raises
        ------
        InputError
            If the geometry has other images: the transfer function couples their rows.
        """
        if geometry.range_shape != self.geometry.range_shape:
            raise InputError(
                "the transfer function couples the rows of an image, so that slices cannot be reconstructed apart; flip phases "
                "instead (--ctf phase-flip)"
            )
        return type(self)(super().with_geometry(geometry), self.transfer)

    def subset(self, views: ArrayLike) -> Projector:
        """Return the operator of some tilts only, with their transfer functions.

        Parameters
        ----------
        views
            Indices, counted from 0, or a boolean mask of shape ``(n_angles,)``.

        Returns
        -------
        FilteredProjector
            Of the same class.

        Raises
        ------
        GeometryError
            If the selection is empty or does not fit.
        """
        geometry = self.geometry.select(views)
        index = to_tilt_indices(views, self.geometry.n_angles)
        part = self.transfer[torch.from_numpy(index).to(self.device)]
        return type(self)(super().with_geometry(geometry), part)

    def describe(self) -> dict[str, Any]:
        """Return the projector's facts, with the adjoint error of the whole operator, for a record.

        Returns
        -------
        dict
            As from ``Projector.describe``, with the shape of the transfer function as ``transfer``.
        """
        return {**self.bare.describe(), "adjoint_error": self.adjoint_error(), "transfer": list(self.transfer.shape)}

    def __getstate__(self) -> dict[str, Any]:
        return {"projector": self.bare, "transfer": self.transfer.cpu()}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.bare!r})"


def _make_even(transfer: torch.Tensor, nu: int) -> torch.Tensor:
    """Return the even part of a transfer function.

    It can differ only in columns that hold both a frequency and its negative.

    With astigmatism, the Nyquist column differs between ``ky`` and ``-ky``, which are one frequency there.
    """
    out = transfer.clone()
    for column in {0, nu // 2} if nu % 2 == 0 else {0}:
        values = transfer[..., column]
        out[..., column] = (values + values.flip(-1).roll(1, -1)) / 2
    return out


class SpectrumProjector(FilteredProjector):
    """``H F A``: the spectra of the filtered projections, as real numbers, with the same norms as the images.

    A fit to spectra has the same least-squares solution as a fit to images. It takes one Fourier transform instead of two, and
    has step sizes for each frequency, so that frequencies with little transfer converge as fast as others.

    The range is ``(n_angles, ny, 2 * (nu // 2 + 1))``: real and imaginary parts in turn, from ``rfft2`` with ``norm="ortho"``,
    times the square root of 2 for values that also stand for their conjugate.

    Parameters
    ----------
    projector, transfer
        As for ``FilteredProjector``.

    Raises
    ------
    InputError
        As ``FilteredProjector``.
    """

    def __init__(self, projector: Projector, transfer: Any) -> None:
        super().__init__(projector, transfer)
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
        return (sums.amax((1, 2), keepdim=True) * self.transfer.abs()).repeat_interleave(2, dim=-1)

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
        spectrum = torch.fft.rfft2(images, norm="ortho").mul_(self._scale).mul_(self.transfer != 0)
        return torch.view_as_real(spectrum).flatten(-2)

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        spectrum = torch.fft.rfft2(Projector._apply(self, batch), norm="ortho").mul_(self._forward)
        return torch.view_as_real(spectrum).flatten(-2)

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        pairs = batch.reshape(*batch.shape[:-1], -1, 2).contiguous()
        spectrum = torch.view_as_complex(pairs) * self._backward
        images: torch.Tensor = torch.fft.irfft2(spectrum, s=(batch.shape[-2], self._columns), norm="ortho")
        return Projector._apply_adjoint(self, images)
