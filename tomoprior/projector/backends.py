"""The protocol of a projector backend, and the choice among the installed ones."""

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
    """Cost of a backend before its first product: bytes that stay allocated, and roughly the seconds to prepare."""

    bytes: int
    seconds: float


class Backend(Protocol):
    """A pair of linear maps between a batch of volumes and a batch of projections.

    ``forward`` takes ``(batch, nz, ny, nx)`` and returns ``(batch, n_angles, ny, nu)``, both float32 on ``device``;
    ``adjoint`` maps in the other direction. Neither may keep its argument, and both must be callable from several threads.
    ``Projector`` applies shifts along y; a backend works within slices only. A backend that keeps prepared data for later
    projectors also has a class method ``clear_cache()`` that frees them. A backend with a fast voxel-driven back-projection
    of a parallel beam has a class method ``interpolate(projections, geometry)``, which returns ``(nz, ny, nx)``, or None where
    it cannot run, and ``can_interpolate()``, which says so for the CPU. A backend on which a product takes long also has
    ``make_result(batch, rows, ny, columns)``, which returns an empty tensor in the memory layout of its results.
    """

    name: ClassVar[str]
    preference: ClassVar[int]  #: ``auto`` takes the highest among the backends that can run
    matched: ClassVar[bool]  #: True if ``adjoint`` is the exact transpose of ``forward``

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None: ...

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Return the reason why this backend cannot or should not run here, in one line; None if it can.

        Parameters
        ----------
        geometry, kind, device
            As for ``Projector``.
        budget
            Bytes that prepared data may take.
        """

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Return the memory and time of the preparation."""

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Return line integrals, in voxel units.

        Parameters
        ----------
        volumes
            float32 on ``device``, shape ``(batch, nz, ny, nx)``.

        Returns
        -------
        torch.Tensor
            float32 on ``device``, shape ``(batch, n_angles, ny, nu)``.
        """

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Return the back-projection without a filter.

        Parameters
        ----------
        projections
            float32 on ``device``, shape ``(batch, n_angles, ny, nu)``.

        Returns
        -------
        torch.Tensor
            float32 on ``device``, shape ``(batch, nz, ny, nx)``.
        """


#: Bytes of a matrix up to which it is used. Beyond it the last-level cache does not hold it, and computing its entries in every
#: product is faster for any number of slices. The limit depends on the geometry of a slice only: a backend that depended on the
#: number of slices would give slabs other bits than the whole volume.
MATRIX_PAYS = 64 * 2**20


def matrix_budget(kind: Kind, device: torch.device) -> int:
    """Return the bytes that the matrix of a projector may take where the backend is left open.

    The linear kernel on a CPU can be computed without a matrix, so that its matrix is limited to ``MATRIX_PAYS``.
    """
    if kind == "linear" and device.type == "cpu" and "TOMOPRIOR_MATRIX_BUDGET" not in os.environ:
        return min(MATRIX_PAYS, default_budget())
    return default_budget()


def default_budget() -> int:
    """Return the bytes that prepared matrices may take: ``TOMOPRIOR_MATRIX_BUDGET`` in MiB, or a quarter of the free memory."""
    value = os.environ.get("TOMOPRIOR_MATRIX_BUDGET")
    if value is None:
        return memory.available() // 4
    try:
        return int(float(value) * 2**20)
    except (ValueError, OverflowError):
        raise BackendError(f"TOMOPRIOR_MATRIX_BUDGET must be a number of MiB, got {value!r}") from None


def choose_backend(name: str, geometry: Geometry, kind: Kind, device: torch.device, budget: int | None) -> type[Backend]:
    """Return the backend called ``name``, or for ``auto`` the best that can run.

    Parameters
    ----------
    name
        Name of an installed backend, or ``auto``.
    geometry, kind, device
        As for ``Projector``.
    budget
        Bytes that prepared data may take; None for the default of ``auto``, and for no limit of a named backend.

    Raises
    ------
    BackendError
        If it cannot run here, with the reason.
    UnknownNameError
        If no backend has that name.
    """
    if name == "auto":
        limit = matrix_budget(kind, device) if budget is None else budget
        installed = [plugins.load(GROUP, n) for n in plugins.names(GROUP)]
        refusals = {b.name: b.refusal(geometry, kind, device, limit) for b in installed}
        able = [b for b in installed if refusals[b.name] is None]
        if not able:
            reasons = "; ".join(f"{n}: {reason}" for n, reason in refusals.items()) or "none is installed"
            raise BackendError(f"no projector can run kind {kind!r} on {device} ({reasons})")
        return max(able, key=lambda b: b.preference)  # type: ignore[no-any-return]
    backend: type[Backend] = plugins.load(GROUP, name)
    # a caller who names a backend decides about its memory: without a budget only the impossible is refused
    reason = backend.refusal(geometry, kind, device, 2**62 if budget is None else budget)
    if reason is not None:
        raise BackendError(f"{name} cannot run here: {reason}")
    return backend


def interpolate(projections: torch.Tensor, geometry: Geometry) -> torch.Tensor | None:
    """Return the voxel-driven back-projection of the first backend that has one; None if none can compute it here.

    Parameters
    ----------
    projections
        float32, shape ``(n_angles, ny, nu)``.
    geometry
        A parallel beam, whose shifts along y are undone already.

    Returns
    -------
    torch.Tensor or None
        Shape ``(nz, ny, nx)``: for every voxel the sum over tilts of the linearly interpolated detector values.
    """
    for name in plugins.names(GROUP):
        backend = plugins.load(GROUP, name)
        volume = backend.interpolate(projections, geometry) if hasattr(backend, "interpolate") else None
        if volume is not None:
            return volume  # type: ignore[no-any-return]
    return None


def can_interpolate() -> bool:
    """Return whether a backend has a voxel-driven back-projection for this processor."""
    backends = [plugins.load(GROUP, name) for name in plugins.names(GROUP)]
    return any(backend.can_interpolate() for backend in backends if hasattr(backend, "can_interpolate"))


def clear_cache() -> None:
    """Free the prepared data that backends keep for later projectors, such as system matrices, and return it to the system.

    Projectors in use keep their data. A long-lived service calls this to bound its memory between jobs; the size of the
    cache itself is bounded by ``TOMOPRIOR_MATRIX_BUDGET``.

    Examples
    --------
    >>> import tomoprior
    >>> tomoprior.clear_cache()
    """
    for name in plugins.names(GROUP):
        backend = plugins.load(GROUP, name)
        if hasattr(backend, "clear_cache"):
            backend.clear_cache()
    memory.release_free_memory()


def choose_device(device: str | torch.device) -> torch.device:
    """Return the torch device; ``auto`` is the GPU if torch sees one, else the CPU.

    Parameters
    ----------
    device
        ``auto``, ``cpu``, ``cuda`` or ``cuda:n``, or a torch device.

    Raises
    ------
    BackendError
        For a device that does not exist here.
    """
    if str(device) == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        result = torch.device(device)
    except (RuntimeError, TypeError):
        raise BackendError(f"{device!r} is not a device; use auto, cpu or cuda") from None
    if result.type == "cuda" and not torch.cuda.is_available():
        raise BackendError("there is no GPU that torch can use; use device cpu")
    if result.type == "cuda" and result.index is not None and result.index >= torch.cuda.device_count():
        raise BackendError(f"there is no {result}: torch sees {torch.cuda.device_count()} GPU(s)")
    if result.type not in ("cpu", "cuda"):
        raise BackendError(f"no projector runs on {result.type!r}; use cpu or cuda")
    return result
