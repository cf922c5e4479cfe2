"""A linear map on volumes or projections, differentiable any number of times, with its adjoint."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np
import torch

from tomoprior.errors import InputError, MissingDependencyError
from tomoprior.storage import torch_state  # noqa: F401  a forked process computes with one thread
from tomoprior.storage.arrays import to_float32

Array = TypeVar("Array", torch.Tensor, "np.ndarray[Any, Any]")


class LinearOperator(ABC):
    """A linear map on the last three axes of an array; leading axes are a batch.

    A subclass sets the three attributes and implements ``T`` and ``_apply``. The call then accepts torch tensors, with
    gradients, and NumPy arrays.

    Attributes
    ----------
    domain_shape, range_shape
        Shape of an argument and of a result, without the batch.
    device
        Device of torch arguments and results.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 4, 8))
    >>> A = tomoprior.Projector(geometry, "cpu")
    >>> isinstance(A.T, tomoprior.LinearOperator)
    True
    >>> A.T.domain_shape, A.T.range_shape
    ((3, 4, 8), (8, 4, 8))
    """

    domain_shape: tuple[int, int, int]
    range_shape: tuple[int, int, int]
    device: torch.device

    @property
    @abstractmethod
    def T(self) -> LinearOperator:
        """The adjoint."""

    @abstractmethod
    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        """Apply the map to ``(batch, *domain_shape)``, outside autograd."""

    def __call__(self, x: Array, out: Array | None = None) -> Array:
        """Apply the map to ``(..., *domain_shape)``; the result is ``(..., *range_shape)``.

        Parameters
        ----------
        x
            A torch tensor, float32 on ``device``, through which gradients flow; or a NumPy array of any real type, which is
            converted to float32.
        out
            A tensor or an array of the result's shape. The result is copied to it, and it is returned. This is the call that
            the algorithms of tomosipo make. No gradient flows through it.

        Returns
        -------
        torch.Tensor or numpy.ndarray
            float32, of the kind of ``x``. A torch result need not be contiguous: its last axes have the projector's memory
            layout, which saves a copy when the result is an argument again.

        Raises
        ------
        InputError
            For another shape, type or device.
        """
        if out is not None:
            return self._fill(out, x)
        if isinstance(x, torch.Tensor):
            self._check(x.shape)
            if x.dtype != torch.float32:
                raise InputError(f"the projector computes in torch.float32, got {x.dtype}; use x.float()")
            if x.device.type != self.device.type or (self.device.index is not None and x.device != self.device):
                raise InputError(f"the projector is on {self.device}, the tensor on {x.device}")
            return _Apply.apply(x, self)  # type: ignore[no-any-return,no-untyped-call]
        array = x if isinstance(x, np.ndarray) else np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"the projector takes real numbers, got dtype {array.dtype}")
        self._check(array.shape)
        tensor = torch.from_numpy(to_float32(array)).to(self.device)
        with torch.no_grad():
            return np.ascontiguousarray(_Apply.apply(tensor, self).cpu().numpy())  # type: ignore[no-untyped-call]

    def _fill(self, out: Array, x: Array) -> Array:
        expected = (*x.shape[:-3], *self.range_shape)
        if tuple(out.shape) != expected:
            raise InputError(f"out needs shape {expected}, got {tuple(out.shape)}")
        if isinstance(out, torch.Tensor) != isinstance(x, torch.Tensor):
            raise InputError("out and the argument must both be torch tensors or both NumPy arrays")
        if isinstance(out, torch.Tensor):
            if torch.is_grad_enabled() and (out.requires_grad or (isinstance(x, torch.Tensor) and x.requires_grad)):
                raise InputError("no gradient flows through out; call the operator without it, or under torch.no_grad()")
            out.copy_(self(x))
        else:
            out[...] = self(x)
        return out

    def adjoint_error(self, seed: int = 0) -> float:
        """Return ``|<A x, y> - <x, A^T y>| / (||A x|| ||y||)`` for random x and y, the measured error of the adjoint.

        Parameters
        ----------
        seed
            Seed of x and y.

        Returns
        -------
        float
            For an exact adjoint only the rounding of float32 remains.
        """
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(self.domain_shape, generator=generator, dtype=torch.float32).to(self.device)
        y = torch.randn(self.range_shape, generator=generator, dtype=torch.float32).to(self.device)
        ax, aty = self(x).double(), self.T(y).double()
        difference = (ax * y.double()).sum() - (x.double() * aty).sum()
        return float(difference.abs() / (ax.norm() * y.double().norm()).clamp_min(1e-300))

    def norm(self, num_iter: int = 20, seed: int = 0) -> float:
        """Return the largest singular value of A, by power iteration.

        Parameters
        ----------
        num_iter
            Number of pairs of products. The value grows towards the singular value from below.
        seed
            Seed of the initial volume.

        Returns
        -------
        float
            At most the true value, because the iteration approaches it from below.
        """
        generator = torch.Generator().manual_seed(seed)
        x = torch.rand(self.domain_shape, generator=generator, dtype=torch.float32).to(self.device)
        value = 0.0
        for _ in range(num_iter):
            x = self.T(self(x))
            value = float(x.norm())
            x = x / max(value, 1e-30)
        return math.sqrt(value)

    def as_scipy(self) -> Any:
        """Return a ``scipy.sparse.linalg.LinearOperator`` on flattened arrays, float32, for SciPy's solvers.

        Returns
        -------
        scipy.sparse.linalg.LinearOperator
            Shape ``(prod(range_shape), prod(domain_shape))``, with the adjoint. Arrays are flattened in C order.

        Examples
        --------
        >>> import numpy as np
        >>> import tomoprior
        >>> from scipy.sparse.linalg import lsqr
        >>> A = tomoprior.Projector(tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 1, 8)), "cpu")
        >>> lsqr(A.as_scipy(), np.ones(3 * 8), iter_lim=5)[0].shape
        (64,)
        """
        from scipy.sparse.linalg import LinearOperator as ScipyOperator

        def apply(operator: LinearOperator, columns: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
            batch = np.asarray(columns).T.reshape(-1, *operator.domain_shape)
            return operator(batch).reshape(len(batch), -1).T

        return ScipyOperator(
            shape=(math.prod(self.range_shape), math.prod(self.domain_shape)), dtype=np.float32,
            matvec=lambda x: apply(self, x.reshape(-1, 1))[:, 0], rmatvec=lambda y: apply(self.T, y.reshape(-1, 1))[:, 0],
            matmat=lambda x: apply(self, x), rmatmat=lambda y: apply(self.T, y),
        )  # fmt: skip

    def as_pylops(self) -> Any:
        """Return a ``pylops.LinearOperator`` on flattened arrays, float32.

        Returns
        -------
        pylops.LinearOperator
            Shape ``(prod(range_shape), prod(domain_shape))``, with the adjoint. Arrays are flattened in C order.

        Raises
        ------
        MissingDependencyError
            If PyLops is not installed.
        """
        try:
            import pylops
        except ImportError:
            raise MissingDependencyError("PyLops is not installed: pip install pylops") from None
        return pylops.LinearOperator(Op=self.as_scipy())

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


class PairedOperator(LinearOperator):
    """A linear operator that computes its adjoint itself, by ``_apply_adjoint``."""

    @property
    def T(self) -> LinearOperator:
        """The adjoint: unfiltered back-projection."""
        return _Adjoint(self)

    @abstractmethod
    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        """Apply the adjoint to ``(batch, *range_shape)``, outside autograd."""


class _Adjoint(LinearOperator):
    """The adjoint of an operator; its own adjoint is that operator."""

    def __init__(self, operator: PairedOperator) -> None:
        self._operator = operator
        self.device = operator.device
        self.domain_shape, self.range_shape = operator.range_shape, operator.domain_shape

    @property
    def T(self) -> LinearOperator:
        return self._operator

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        return self._operator._apply_adjoint(batch)

    def __repr__(self) -> str:
        return f"{self._operator!r}.T"


class _Apply(torch.autograd.Function):
    """Autograd over a linear map: its gradient is the adjoint, itself such a function; nothing is saved."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, operator: LinearOperator) -> torch.Tensor:
        ctx.operator = operator
        return operator._map(x.detach())

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        return _Apply.apply(grads[0], ctx.operator.T), None  # type: ignore[no-untyped-call]
