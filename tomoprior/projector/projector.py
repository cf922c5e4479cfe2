"""The projector: the linear map A from a volume to its projections, and its adjoint, differentiable any number of times."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any, get_args

import torch
from numpy.typing import ArrayLike

from tomoprior.errors import SettingsError
from tomoprior.geometry import Geometry
from tomoprior.projector import backends, rowshift
from tomoprior.projector.backends import Backend, Kind
from tomoprior.projector.operator import LinearOperator, PairedOperator


class Projector(PairedOperator):
    """Forward projection of single-axis tomography in a parallel or a fan beam, ``A(x)``, with its adjoint ``A.T(y)``.

    Parameters
    ----------
    geometry
        Angles, grid and detector, a ``Geometry`` or a ``FanGeometry``; see ``tomoprior.geometry`` for the conventions.
    device
        ``auto``, ``cpu`` or ``cuda[:n]``.
    kind
        ASTRA's kernel: ``linear`` (Joseph's interpolation), ``line`` (length of intersection) or ``strip`` (area).
    backend
        ``auto``, ``astra-matrix`` (the system matrix of a slice, applied to all slices at once; an exact adjoint),
        ``numba`` (the linear kernel for all slices at once without a matrix; an exact adjoint), ``astra-2d`` (ASTRA's own
        projectors, slice by slice in threads) or ``astra-cuda``. ``auto`` takes ASTRA's GPU projector where there is a GPU,
        else the matrix if it fits the budget, else ``numba``, and for other kernels ``astra-2d``.
    budget
        Bytes that the matrix may take. By default 64 MiB for the linear kernel on the CPU, beyond which ``numba`` is faster,
        and a quarter of the free memory otherwise (or ``TOMOPRIOR_MATRIX_BUDGET`` in MiB).

    Raises
    ------
    SettingsError
        For an unknown kind.
    BackendError
        If the device does not exist or the backend cannot run here.
    UnknownNameError
        If no backend has the name.

    Attributes
    ----------
    domain_shape, range_shape
        ``(nz, ny, nx)`` and ``(n_angles, ny, nu)``.
    T
        The adjoint, also a linear operator. ``matched`` is true if it is the exact transpose.

    Notes
    -----
    A projector can be pickled and used from several threads. It does not support the transforms of ``torch.func``
    (vmap, jvp). Projections are line integrals in voxel units. The volume is zero outside its grid.

    Examples
    --------
    The projection of a homogeneous box at 0 degrees is its thickness:

    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 4, 16))
    >>> A = tomoprior.Projector(geometry, "cpu")
    >>> projections = A(np.ones(geometry.shape))
    >>> projections.shape
    (3, 4, 16)
    >>> float(projections[1, 0, 8])
    8.0

    The gradient of a loss flows through ``A``:

    >>> import torch
    >>> x = torch.zeros(geometry.shape, requires_grad=True)
    >>> ((A(x) - 1) ** 2).sum().backward()
    >>> x.grad.shape
    torch.Size([8, 4, 16])
    """

    def __init__(
        self,
        geometry: Geometry,
        device: str | torch.device = "auto",
        kind: Kind = "linear",
        backend: str = "auto",
        *,
        budget: int | None = None,
    ) -> None:
        if kind not in get_args(Kind):
            raise SettingsError(f"kind must be one of {', '.join(get_args(Kind))}, got {kind!r}")
        self.geometry = geometry
        self.kind = kind
        self.device = backends.choose_device(device)
        self.domain_shape, self.range_shape = geometry.domain_shape, geometry.range_shape
        self._budget, self._requested = budget, backend
        # the choice is made now, so that an error appears now; some methods never compute a product and need no preparation
        self._backend_class = backends.choose_backend(backend, geometry, kind, self.device, budget)
        self._prepared: Backend | None = None
        self._lock = threading.Lock()

    @property
    def _backend(self) -> Backend:
        with self._lock:
            if self._prepared is None:
                self._prepared = self._backend_class(self.geometry, self.kind, self.device)
            return self._prepared

    @property
    def is_prepared(self) -> bool:
        """True after the first product, which builds the matrix or ASTRA's objects."""
        return self._prepared is not None

    @property
    def cost(self) -> backends.Cost:
        """Memory that the prepared projector keeps and seconds to prepare it, estimated without the preparation."""
        return self._backend_class.cost(self.geometry, self.kind)

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._backend_class.name

    @property
    def matched(self) -> bool:
        """True if ``A.T`` is the exact transpose of ``A``, up to rounding."""
        return self._backend_class.matched

    @property
    def couples_slices(self) -> bool:
        """True if a slice's projections depend on other slices."""
        return self.geometry.couples_slices

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        out = self._backend.forward(batch)
        return rowshift.forward(out, self.geometry) if self.geometry.couples_slices else out

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        return self._backend.adjoint(rowshift.adjoint(batch, self.geometry) if self.geometry.couples_slices else batch)

    def make_volume(self) -> torch.Tensor:
        """Return a volume of zeros in the memory layout of ``A.T(y)``; no product is computed where the backend knows it."""
        return self._make(self.domain_shape, self.T)

    def make_projections(self) -> torch.Tensor:
        """Return projections of zeros in the memory layout of ``A(x)``; no product is computed where the backend knows it."""
        return self._make(self.range_shape, self)

    def _make(self, shape: tuple[int, int, int], product: LinearOperator) -> torch.Tensor:
        make = getattr(self._backend, "make_result", None)
        if make is None:
            return product(torch.zeros(product.domain_shape, dtype=torch.float32, device=self.device))
        empty: torch.Tensor = make(1, *shape)
        return empty.squeeze(0).zero_()

    def with_geometry(self, geometry: Geometry) -> Projector:
        """Return a projector of the same kind on the same device for another geometry; ``auto`` chooses its backend again.

        Parameters
        ----------
        geometry
            Angles, grid and detector of the new projector.

        Returns
        -------
        Projector
            Not prepared yet.

        Raises
        ------
        BackendError
            If a backend was named and cannot run with the geometry.
        """
        return Projector(geometry, self.device, self.kind, self._requested, budget=self._budget)

    def describe(self) -> dict[str, Any]:
        """Return backend, kernel, device and the adjoint error, measured on the middle slice, for a record.

        One slice is enough, since all slices share the matrix or the kernel. Shifts along y are left out: their transpose
        is exact.

        Returns
        -------
        dict
            ``backend``, ``kind``, ``device``, ``matched`` and ``adjoint_error``, for JSON.
        """
        y = self.geometry.shape[1] // 2
        slab = self.geometry.rows(y, y + 1)
        if slab.shifts is not None:
            slab = replace(slab, shifts=slab.shifts * [0, 1])
        return {
            "backend": self.backend,
            "kind": self.kind,
            "device": str(self.device),
            "matched": self.matched,
            "adjoint_error": self.with_geometry(slab).adjoint_error(),
        }

    def subset(self, views: ArrayLike) -> Projector:
        """Return the projector of some tilts only.

        Parameters
        ----------
        views
            Indices, counted from 0, or a boolean mask of shape ``(n_angles,)``.

        Returns
        -------
        Projector
            Its ``range_shape`` is ``(number of selected tilts, ny, nu)``.

        Raises
        ------
        GeometryError
            If the selection is empty or does not fit.
        """
        return self.with_geometry(self.geometry.select(views))

    def __getstate__(self) -> dict[str, Any]:
        # ASTRA's objects are numbers in a table of this process: another process builds its own
        return {
            "geometry": self.geometry, "device": str(self.device), "kind": self.kind,
            "backend": self._requested, "budget": self._budget,
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Projector({self.geometry!r}, device='{self.device}', kind={self.kind!r}, backend={self.backend!r})"
