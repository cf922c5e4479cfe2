"""What a projector backend is, and which one a projector takes when it is told ``auto``."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol

import torch

from tomoprior import memory, plugins
from tomoprior.errors import BackendError
from tomoprior.geometry import Geometry

Kind = Literal["linear", "line", "strip"]
GROUP = "tomoprior.projectors"


@dataclass(frozen=True)
class Cost:
    """What a backend takes before its first product: bytes that stay allocated, and roughly the seconds to prepare."""

    bytes: int
    seconds: float


class Backend(Protocol):
    """A pair of linear maps between a batch of volumes and a batch of projections.

    ``forward`` takes ``(batch, nz, ny, nx)`` and gives ``(batch, n_angles, ny, nu)``, both float32 on ``device``;
    ``adjoint`` goes the other way. Neither may keep its argument, and both must be callable from several threads.
    Shifts along y are applied outside; a backend sees only what lies within a slice.
    """

    name: ClassVar[str]
    preference: ClassVar[int]  #: among the backends that can run, ``auto`` takes the highest
    matched: ClassVar[bool]  #: True if ``adjoint`` is the exact transpose of ``forward``

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None: ...

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Why this backend cannot or should not run here, in one line; None if it can."""

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Memory and time of the preparation."""

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Line integrals, in voxel units."""

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Back-projection without a filter."""


#: Bytes of a matrix up to which it is faster than computing its entries in every product (measured on two cores: equal at 64 to
#: 107 MiB, where the matrix no longer fits the last-level cache).
MATRIX_PAYS = 64 * 2**20


def matrix_budget(kind: Kind, device: torch.device) -> int:
    """Bytes that the matrix of a projector may take where the backend is left open.

    The linear kernel on a CPU can be computed without a matrix, so that its matrix is limited to ``MATRIX_PAYS``.
    """
    if kind == "linear" and device.type == "cpu" and "TOMOPRIOR_MATRIX_BUDGET" not in os.environ:
        return min(MATRIX_PAYS, default_budget())
    return default_budget()


def default_budget() -> int:
    """Bytes that prepared matrices may take: ``TOMOPRIOR_MATRIX_BUDGET`` in MiB, or a quarter of the free memory."""
    value = os.environ.get("TOMOPRIOR_MATRIX_BUDGET")
    if value is None:
        return memory.available() // 4
    try:
        return int(float(value) * 2**20)
    except ValueError:
        raise BackendError(f"TOMOPRIOR_MATRIX_BUDGET must be a number of MiB, got {value!r}") from None


def choose_backend(name: str, geometry: Geometry, kind: Kind, device: torch.device, budget: int | None) -> type[Backend]:
    """The backend called ``name``, or for ``auto`` the best that can run.

    Raises
    ------
    BackendError
        If it cannot run here, with the reason.
    UnknownNameError
        If no backend has that name.
    """
    if name == "auto":
        limit = matrix_budget(kind, device) if budget is None else budget
        found = [plugins.load(GROUP, n) for n in plugins.names(GROUP)]
        refusals = {b.name: b.refusal(geometry, kind, device, limit) for b in found}
        fitting = [b for b in found if refusals[b.name] is None]
        if not fitting:
            reasons = "; ".join(f"{n}: {reason}" for n, reason in refusals.items()) or "none is installed"
            raise BackendError(f"no projector can run kind {kind!r} on {device} ({reasons})")
        return max(fitting, key=lambda b: b.preference)  # type: ignore[no-any-return]
    backend: type[Backend] = plugins.load(GROUP, name)
    # who names a backend has decided on its memory: only what is impossible is refused, unless a budget is given
    reason = backend.refusal(geometry, kind, device, 2**62 if budget is None else budget)
    if reason is not None:
        raise BackendError(f"{name} cannot run here: {reason}")
    return backend


def choose_device(device: str | torch.device) -> torch.device:
    """The torch device meant; ``auto`` is the GPU if torch sees one, else the CPU.

    Raises
    ------
    BackendError
        For a device that does not exist here.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except (RuntimeError, TypeError):
        raise BackendError(f"{device!r} is not a device; use auto, cpu or cuda") from None
    if found.type == "cuda" and not torch.cuda.is_available():
        raise BackendError("there is no GPU that torch can use; use device cpu")
    if found.type == "cuda" and found.index is not None and found.index >= torch.cuda.device_count():
        raise BackendError(f"there is no {found}: torch sees {torch.cuda.device_count()} GPU(s)")
    if found.type not in ("cpu", "cuda"):
        raise BackendError(f"no projector runs on {found.type!r}; use cpu or cuda")
    return found
