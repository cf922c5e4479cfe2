"""A differentiable operator from ASTRA's own projection and volume geometry."""

from __future__ import annotations

import contextlib
import copy
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

import astra
import astra.experimental
import torch

from tomoprior.errors import BackendError, GeometryError, SettingsError
from tomoprior.projector.backends import choose_device
from tomoprior.projector.operator import PairedOperator

from .cuda import call_direct, has_gpu
from .export import export_matrix
from .matrix import MatrixPair, apply_to_slices

#: ASTRA's kernels for 2-D geometries; the first one is the default.
KERNELS = {"parallel": ("linear", "line", "strip"), "fanflat": ("line", "strip")}
#: 3-D geometries, which ASTRA projects on a GPU only.
IN_3D = ("parallel3d", "parallel3d_vec", "cone", "cone_vec")


class AstraOperator(PairedOperator):
    """Forward projection in any geometry of ASTRA, ``A(x)``, with its adjoint ``A.T(y)``, differentiable any number of times.

    Parameters
    ----------
    projection_geometry
        A dictionary from ``astra.create_proj_geom``: ``parallel``, ``parallel_vec``, ``fanflat`` or ``fanflat_vec`` on any
        device; ``parallel3d``, ``parallel3d_vec``, ``cone`` or ``cone_vec`` on a GPU.
    volume_geometry
        A dictionary from ``astra.create_vol_geom``, of the same number of dimensions.
    kind
        ASTRA's kernel in 2-D: ``linear`` (parallel beams only), ``line`` or ``strip`` (a fan only as ``fanflat``); by
        default ``linear``, and ``line`` for a fan. In 3-D ASTRA has one kernel, and ``kind`` must be left out.
    slices
        In 2-D: number of slices that are projected at once, each with the same rays.
    device
        ``auto``, ``cpu`` or ``cuda[:n]``.

    Raises
    ------
    GeometryError
        For dictionaries that ASTRA does not accept.
    SettingsError
        For a kernel that the geometry does not have.
    BackendError
        If the device does not exist, or for a 3-D geometry without a GPU.

    Attributes
    ----------
    domain_shape, range_shape
        In 2-D ``(rows, slices, columns)`` and ``(n_angles, slices, n_detectors)``, as for ``Projector``. In 3-D ASTRA's own
        order: ``(slices, rows, columns)`` and ``(detector rows, n_angles, detector columns)``.
    matched
        True in 2-D, where the adjoint is the exact transpose of ASTRA's matrix. In 3-D it is ASTRA's back-projection, which
        differs from the transpose by some percent; ``adjoint_error`` measures it.

    Notes
    -----
    The 2-D operators hold the matrix and its transpose, 16 bytes per entry.

    Examples
    --------
    >>> import astra
    >>> import numpy as np
    >>> import tomoprior
    >>> rays = astra.create_proj_geom("fanflat", 1.5, 48, np.linspace(0, np.pi, 30), 100, 50)
    >>> A = tomoprior.AstraOperator(rays, astra.create_vol_geom(32, 32), device="cpu")
    >>> A(np.ones((32, 1, 32))).shape
    (30, 1, 48)
    >>> A.adjoint_error() < 1e-6
    True
    """

    def __init__(
        self,
        projection_geometry: Mapping[str, Any],
        volume_geometry: Mapping[str, Any],
        *,
        kind: Literal["linear", "line", "strip"] | None = None,
        slices: int = 1,
        device: str | torch.device = "auto",
    ) -> None:
        self.projection_geometry = copy.deepcopy(dict(projection_geometry))
        self.volume_geometry = copy.deepcopy(dict(volume_geometry))
        name = str(self.projection_geometry.get("type"))
        self.device = choose_device(device)
        self.matched = name not in IN_3D
        self.slices = slices
        if not isinstance(slices, int) or slices < 1 or (name in IN_3D and slices != 1):
            raise SettingsError(f"slices must be a whole number from 1, and 1 in 3-D, got {slices!r}")
        self.kind = _choose_kernel(name, kind)
        with _reraise("geometry"):
            volume = tuple(int(n) for n in astra.functions.geom_size(self.volume_geometry))
            rays = tuple(int(n) for n in astra.functions.geom_size(self.projection_geometry))
        if len(volume) != len(rays):
            raise GeometryError(
                f"a {len(rays)}-D projection geometry needs a volume of {len(rays)} dimensions, got {len(volume)}"
            )
        self.domain_shape, self.range_shape = (
            shape if len(shape) == 3 else (shape[0], slices, shape[1]) for shape in (volume, rays)
        )
        if name in IN_3D and (self.device.type != "cuda" or not has_gpu()):
            raise BackendError(f"ASTRA projects {name} on a GPU only, and {_missing_gpu(self.device)}")
        self._lock = threading.Lock()
        self._products: tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]] | None = None

    def _apply(self, batch: torch.Tensor) -> torch.Tensor:
        return self._prepare()[0](batch)

    def _apply_adjoint(self, batch: torch.Tensor) -> torch.Tensor:
        return self._prepare()[1](batch)

    def _prepare(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        with self._lock:
            if self._products is None:
                self._products = self._prepare_matrix() if self.kind else self._prepare_gpu()
            return self._products

    def _prepare_matrix(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        with _reraise("projector"):
            matrix = export_matrix(self.kind, self.projection_geometry, self.volume_geometry)
        pair = MatrixPair.from_scipy(matrix, self.device)
        rays, grid = ((shape[0], shape[2]) for shape in (self.range_shape, self.domain_shape))
        return lambda x: apply_to_slices(pair.forward, x, rays), lambda y: apply_to_slices(pair.adjoint, y, grid)

    def _prepare_gpu(self) -> tuple[Callable[..., torch.Tensor], Callable[..., torch.Tensor]]:
        with _reraise("projector"):
            projector = astra.create_projector("cuda3d", self.projection_geometry, self.volume_geometry)
        weakref.finalize(self, astra.projector3d.delete, projector)
        lock = threading.Lock()

        def apply(operation: Any, batch: torch.Tensor, shape: tuple[int, int, int]) -> torch.Tensor:
            out = batch.new_empty(batch.shape[0], *shape)
            for source, result in zip(batch, out, strict=True):
                call_direct(lock, operation, projector, source, result)
            return out

        return (
            lambda x: apply(astra.projector3d.direct_FP, x, self.range_shape),
            lambda y: apply(astra.projector3d.direct_BP, y, self.domain_shape),
        )

    def __getstate__(self) -> dict[str, Any]:
        # ASTRA's objects are numbers in a table of this process, so that another process builds its own
        return {
            "projection_geometry": self.projection_geometry, "volume_geometry": self.volume_geometry,
            "kind": self.kind.removesuffix("_fanflat") or None, "slices": self.slices, "device": str(self.device),
        }  # fmt: skip

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __repr__(self) -> str:
        name = self.projection_geometry["type"]
        return f"AstraOperator({name}, {self.domain_shape} to {self.range_shape}, kind={self.kind!r}, device='{self.device}')"


@contextlib.contextmanager
def _reraise(what: str) -> Iterator[None]:
    """Raise ASTRA's error about a geometry again as an error with one line."""
    try:
        yield
    except Exception as error:  # ASTRA raises KeyError, ValueError, AstraError and others for a geometry that it cannot use
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise GeometryError(f"ASTRA does not accept this {what} ({line})") from error


def _choose_kernel(name: str, kind: str | None) -> str:
    """Return ASTRA's name of a 2-D kernel, or an empty text in 3-D."""
    if name in IN_3D:
        if kind is not None:
            raise SettingsError(f"ASTRA has one kernel for {name}; leave kind out")
        return ""
    base = name.removesuffix("_vec")
    if base not in KERNELS:
        known = ", ".join([*(f"{k}, {k}_vec" for k in KERNELS), *IN_3D])
        raise GeometryError(f"projection geometry {name!r} is not one of {known}")
    kernels = KERNELS[base] if name != "fanflat_vec" else ("line",)
    if kind is not None and kind not in kernels:
        raise SettingsError(f"ASTRA's kernels for {name} are {', '.join(kernels)}, got {kind!r}")
    chosen = kind or kernels[0]
    return f"{chosen}_fanflat" if base == "fanflat" else chosen


def _missing_gpu(device: torch.device) -> str:
    return f"the device is {device}" if device.type != "cuda" else "it finds none"
