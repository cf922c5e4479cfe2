"""Projector of a microscope: projections multiplied by a transfer function.

Images are periodic: what a point-spread function carries beyond one edge of an image enters at the other. The transfer
function is real and even, so that the filter of an image is its own adjoint.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.geometry.checks import to_tilt_indices
from tomoprior.microscopy.transfer import Transfer
from tomoprior.projector.projector import Projector
from tomoprior.projector.strip_filters import filter_strips, filter_strips_adjoint

#: Iterations that measure the norm of the filters of strips.
POWER_ITERATIONS = 12


class FilteredProjector(Projector):
    """``H A``: a projector A followed by the transfer function H of each image.

    Parameters
    ----------
    projector
        The projector A.
    transfer
        The transfer function H: real values on the grid of ``rfft2`` of the images, shape ``(n_angles, ny, nu // 2 + 1)``, or
        a ``tomoprior.microscopy.Transfer``, which has strips where the gradient of defocus across a tilted slab needs them.
    windows
        Shares of strips in each column, shape ``(n_strips, nu)``; H then has shape ``(n_strips, n_angles, ny, nu // 2 + 1)``.
        What a projection has in a strip passes the filter of the strip, and the results are added.

    Attributes
    ----------
    transfer
        Values of H, float32, on the projector's device.
    windows
        float32, on the projector's device; None for one filter for a whole image.
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

    def __init__(self, projector: Projector, transfer: Any, windows: torch.Tensor | None = None) -> None:
        super().__init__(projector.geometry, projector.device, projector.kind, projector._requested, budget=projector._budget)
        if projector.is_prepared:
            self._prepared = projector._backend
        n, ny, nu = projector.geometry.range_shape
        if isinstance(transfer, Transfer) and windows is None and (parts := transfer.by_strips(projector.geometry)) is not None:
            transfer, windows = parts[0], torch.from_numpy(parts[1])
        if isinstance(transfer, torch.Tensor):
            values = transfer.detach().to(self.device, torch.float32)
        else:
            array = np.asarray(transfer)
            if array.dtype.kind not in "fiu":
                raise InputError(f"a transfer function must be real, got dtype {array.dtype}")
            values = torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(self.device)
        expected = (n, ny, nu // 2 + 1) if windows is None else (len(windows), n, ny, nu // 2 + 1)
        if tuple(values.shape) != expected or (windows is not None and windows.shape[1:] != (nu,)):
            axes = "angle, ky, kx" if windows is None else "strip, angle, ky, kx"
            raise InputError(f"the transfer function needs shape {expected} ({axes}), got {tuple(values.shape)}")
        if not bool(torch.isfinite(values).all()):
            raise InputError("a transfer function must be finite")
        self.transfer = _make_even(values, nu)
        self.windows = None if windows is None else windows.to(self.device, torch.float32)

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
        return self.peak.amax((1, 2), keepdim=True)

    @cached_property
    def peak(self) -> torch.Tensor:
        """Bound of the filter at each frequency, shape ``(n_angles, ny, nu // 2 + 1)``: iterations take steps by it.

        For strips it is the largest absolute value of their filters, times the measured norm of what remains, with a margin of
        5 %: the sum of different filters of overlapping strips can exceed each of them.
        """
        values = self.transfer.abs()
        if self.windows is None:
            return values
        largest = values.amax(0)
        scaled = self.transfer / largest.clamp_min(1e-3 * float(largest.amax()))
        images = torch.rand(self.geometry.range_shape, generator=torch.Generator().manual_seed(0)).to(self.device)
        norm = torch.ones(())
        for _ in range(POWER_ITERATIONS):
            images = filter_strips_adjoint(filter_strips(images, scaled, self.windows), scaled, self.windows, images.shape[-2:])
            norm = torch.linalg.vector_norm(images, dim=(1, 2), keepdim=True)
            images = images / norm.clamp_min(torch.finfo(torch.float32).tiny)
        return largest * (1.05 * norm.sqrt()).clamp_min(1.0)

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
        images = super()._apply(batch)
        if self.windows is None:
            return self._filter(images)
        filtered: torch.Tensor = torch.fft.irfft2(filter_strips(images, self.transfer, self.windows), s=images.shape[-2:])
        return filtered

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        if self.windows is None:
            return super()._apply_adjoint(self._filter(batch))
        return super()._apply_adjoint(
            filter_strips_adjoint(torch.fft.rfft2(batch), self.transfer, self.windows, batch.shape[-2:])
        )

    def make_projections(self) -> torch.Tensor:
        """Return projections of zeros in the memory layout of ``A(x)``, which is that of the Fourier transform."""
        out: torch.Tensor = self(self.make_volume())
        return out

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
        return type(self)(super().with_geometry(geometry), self.transfer, self.windows)

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
        part = self.transfer.index_select(-3, torch.from_numpy(index).to(self.device))
        return type(self)(super().with_geometry(geometry), part, self.windows)

    def describe(self) -> dict[str, Any]:
        """Return the projector's facts, with the adjoint error of the whole operator, for a record.

        Returns
        -------
        dict
            As from ``Projector.describe``, with the shape of the transfer function as ``transfer``.
        """
        return {**self.bare.describe(), "adjoint_error": self.adjoint_error(), "transfer": list(self.transfer.shape)}

    def __getstate__(self) -> dict[str, Any]:
        windows = None if self.windows is None else self.windows.cpu()
        return {"projector": self.bare, "transfer": self.transfer.cpu(), "windows": windows}

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
