"""The projector: the linear map A from a volume to its projections, differentiable any number of times, and its adjoint."""

from __future__ import annotations

import math
import threading
from abc import ABC, abstractmethod
from dataclasses import replace
from typing import Any, TypeVar, get_args

import numpy as np
import torch
from numpy.typing import ArrayLike

from tomoprior.errors import InputError, SettingsError
from tomoprior.geometry import Geometry
from tomoprior.projector import backends, rowshift
from tomoprior.projector.backends import Backend, Kind

Array = TypeVar("Array", torch.Tensor, "np.ndarray[Any, Any]")


class LinearOperator(ABC):
    """A linear map on arrays whose last three axes it acts on; leading axes are a batch."""

    domain_shape: tuple[int, int, int]
    range_shape: tuple[int, int, int]
    device: torch.device

    @property
    @abstractmethod
    def T(self) -> LinearOperator:
        """The adjoint."""

    @abstractmethod
    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        """The map itself on ``(batch, *domain_shape)``, outside autograd."""

    def __call__(self, x: Array) -> Array:
        """Apply the map to ``(..., *domain_shape)``; the result is ``(..., *range_shape)``.

        A torch tensor must be float32 on ``device``; gradients flow through it. A NumPy array of any real type is
        converted and gives a float32 NumPy array. A torch result need not be contiguous: its last axes are laid out
        as the projector likes them, which spares a copy when it is given back.

        Raises
        ------
        InputError
            For another shape, type or device.
        """
        if isinstance(x, torch.Tensor):
            self._check(x.shape)
            if x.dtype != torch.float32:
                raise InputError(f"the projector computes in torch.float32, got {x.dtype}; use x.float()")
            if x.device.type != self.device.type or (self.device.index is not None and x.device != self.device):
                raise InputError(f"the projector is on {self.device}, the tensor on {x.device}")
            return _Apply.apply(x, self)  # type: ignore[no-any-return,no-untyped-call]
        array = np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"the projector takes real numbers, got dtype {array.dtype}")
        self._check(array.shape)
        # copies what torch could not take: read-only, strided or of another type
        array = np.require(array, np.float32, ["C", "W"])
        if any(s < 0 for s in array.strides):  # a reversed axis of length one counts as contiguous, and torch refuses it
            array = array.copy()
        tensor = torch.from_numpy(array).to(self.device)
        with torch.no_grad():
            return np.ascontiguousarray(_Apply.apply(tensor, self).cpu().numpy())  # type: ignore[no-untyped-call]

    def _check(self, shape: tuple[int, ...]) -> None:
        if tuple(shape[-3:]) != self.domain_shape:
            raise InputError(f"expected an array of shape (..., {', '.join(map(str, self.domain_shape))}), got {tuple(shape)}")

    def _map(self, x: torch.Tensor) -> torch.Tensor:
        leading = x.shape[:-3]
        if 0 in leading:
            return x.new_zeros(*leading, *self.range_shape)
        # unsqueeze and squeeze keep the memory layout, which reshape need not
        batch = x.unsqueeze(0) if not leading else x if len(leading) == 1 else x.reshape(-1, *self.domain_shape)
        out = self._apply(batch)
        return out.squeeze(0) if not leading else out if len(leading) == 1 else out.reshape(*leading, *self.range_shape)


class _Apply(torch.autograd.Function):
    """Autograd over a linear map: its gradient is the adjoint, itself such a function; nothing is saved."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, operator: LinearOperator) -> torch.Tensor:
        ctx.operator = operator
        return operator._map(x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Apply.apply(grads[0], ctx.operator.T), None  # type: ignore[no-untyped-call]


class Projector(LinearOperator):
    """Forward projection of single-axis parallel-beam tomography, ``A(x)``, with its adjoint ``A.T(y)``.

    Parameters
    ----------
    geometry
        Angles, grid and detector; see ``tomoprior.geometry`` for the conventions.
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

    Attributes
    ----------
    domain_shape, range_shape
        ``(nz, ny, nx)`` and ``(n_angles, ny, nu)``.
    T
        The adjoint, an operator like this one. ``matched`` says whether it is the exact transpose.

    Notes
    -----
    A projector can be pickled and used from several threads. The transforms of
    ``torch.func`` (vmap, jvp) are not supported. Projections are line integrals in voxel units. The
    volume is zero outside its grid.
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
        # chosen now, so that what cannot run is refused now; built at the first product, which some methods never make
        self._chosen = backends.choose_backend(backend, geometry, kind, self.device, budget)
        self._built: Backend | None = None
        self._lock = threading.Lock()
        self._adjoint = _Adjoint(self)

    @property
    def _backend(self) -> Backend:
        with self._lock:
            if self._built is None:
                self._built = self._chosen(self.geometry, self.kind, self.device)
            return self._built

    @property
    def cost(self) -> backends.Cost:
        """Memory that the prepared projector keeps and seconds to prepare it, estimated before it is built."""
        return self._chosen.cost(self.geometry, self.kind)

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._chosen.name

    @property
    def matched(self) -> bool:
        """True if ``A.T`` is the exact transpose of ``A``, up to rounding."""
        return self._chosen.matched

    @property
    def T(self) -> LinearOperator:
        """The adjoint: unfiltered back-projection."""
        return self._adjoint

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        out = self._backend.forward(batch)
        return rowshift.forward(out, self.geometry) if self.geometry.couples_slices else out

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        return self._backend.adjoint(rowshift.adjoint(batch, self.geometry) if self.geometry.couples_slices else batch)

    def adjoint_error(self, seed: int = 0) -> float:
        """``|<A x, y> - <x, A^T y>| / (||A x|| ||y||)`` for random x and y: what the adjoint is off by, measured."""
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(self.domain_shape, generator=generator).to(self.device)
        y = torch.randn(self.range_shape, generator=generator).to(self.device)
        ax, aty = self(x).double(), self.T(y).double()
        difference = (ax * y.double()).sum() - (x.double() * aty).sum()
        return float(difference.abs() / (ax.norm() * y.double().norm()).clamp_min(1e-300))

    def norm(self, num_iter: int = 20, seed: int = 0) -> float:
        """Largest singular value of A, by power iteration."""
        x = torch.rand(self.domain_shape, generator=torch.Generator().manual_seed(seed)).to(self.device)
        value = 0.0
        for _ in range(num_iter):
            x = self.T(self(x))
            value = float(x.norm())
            x = x / max(value, 1e-30)
        return math.sqrt(value)

    def with_geometry(self, geometry: Geometry) -> Projector:
        """A projector of the same kind on the same device for another geometry; ``auto`` chooses its backend anew."""
        return Projector(geometry, self.device, self.kind, self._requested, budget=self._budget)

    def describe(self) -> dict[str, Any]:
        """Backend, kernel, device and the adjoint error measured on the middle slice, for a record.

        One slice tells: all share the matrix or the kernel. Shifts along y, whose transpose is exact, are left out.
        """
        y = self.geometry.shape[1] // 2
        thin = self.geometry.rows(y, y + 1)
        if thin.shifts is not None:
            thin = replace(thin, shifts=thin.shifts * [0, 1])
        return {
            "backend": self.backend,
            "kind": self.kind,
            "device": str(self.device),
            "matched": self.matched,
            "adjoint_error": self.with_geometry(thin).adjoint_error(),
        }

    def subset(self, views: ArrayLike) -> Projector:
        """The projector of some tilts only (indices or a mask)."""
        return self.with_geometry(self.geometry.select(views))

    def __getstate__(self) -> dict[str, Any]:
        # ASTRA's objects are numbers in a table of this process: another one builds its own
        return {
            "geometry": self.geometry, "device": str(self.device), "kind": self.kind,
            "backend": self._requested, "budget": self._budget,
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        return f"Projector({self.geometry!r}, device='{self.device}', kind={self.kind!r}, backend={self.backend!r})"


class _Adjoint(LinearOperator):
    """The adjoint of a projector; its own adjoint is that projector."""

    def __init__(self, projector: Projector) -> None:
        self._projector = projector
        self.device = projector.device
        self.domain_shape, self.range_shape = projector.range_shape, projector.domain_shape

    @property
    def T(self) -> LinearOperator:
        return self._projector

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        return self._projector._apply_adjoint(batch)

    def __repr__(self) -> str:
        return f"{self._projector!r}.T"
