"""A linear map on volumes or projections, differentiable any number of times, with its adjoint."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, TypeVar

import numpy as np
import torch

from tomoprior.errors import InputError
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

    def __call__(self, x: Array) -> Array:
        """Apply the map to ``(..., *domain_shape)``; the result is ``(..., *range_shape)``.

        A torch tensor must be float32 on ``device``; gradients flow through the map. A NumPy array of any real type is
        converted, and the result is a float32 NumPy array. A torch result need not be contiguous: its last axes have the
        projector's memory layout, which saves a copy when the result is an argument again.

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
        array = x if isinstance(x, np.ndarray) else np.asarray(x)
        if array.dtype.kind not in "fiub":
            raise InputError(f"the projector takes real numbers, got dtype {array.dtype}")
        self._check(array.shape)
        tensor = torch.from_numpy(to_float32(array)).to(self.device)
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
