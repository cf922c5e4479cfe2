"""ASTRA's 3-D GPU projector on torch's CUDA tensors, without a copy through DLPack.

ASTRA's GPU pair is not matched: the forward projector is ray-driven, the back-projector voxel-driven.
``Projector.adjoint_error`` measures the difference; the exact pair on the GPU is ``astra-matrix``.
"""

from __future__ import annotations

import threading
import weakref
from typing import Any, ClassVar

import astra
import astra.experimental
import torch

from tomoprior.errors import BackendError
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.projector.backends import Cost, Kind

from .geometry import vectors_3d


def has_gpu() -> bool:
    """Return whether ASTRA can use a GPU. ``has_feature('cuda')`` is true without one, and a projection then kills Python."""
    return bool(astra.use_cuda())


class CudaBackend:
    """One ``cuda3d`` projector per distinct centre; volumes and projections stay on the GPU."""

    name: ClassVar[str] = "astra-cuda"
    preference: ClassVar[int] = 30
    matched: ClassVar[bool] = False

    def __init__(self, geometry: Geometry, kind: Kind, device: torch.device) -> None:
        self.geometry, self.device = geometry, device
        self._lock = threading.Lock()  # ASTRA selects the GPU per thread, and shares its texture memory in the process
        self._groups = geometry.slice_groups()
        nz, _, nx = geometry.shape
        ids = []
        for rows in self._groups:
            volume = astra.create_vol_geom(len(rows), nx, nz)
            rays = vectors_3d(geometry, int(rows[0]))
            projections = astra.create_proj_geom("parallel3d_vec", len(rows), geometry.detector[1], rays)
            ids.append(astra.create_projector("cuda3d", projections, volume))
        self._ids = ids
        self._finalizer = weakref.finalize(self, _delete_projectors, ids)

    @classmethod
    def cost(cls, geometry: Geometry, kind: Kind) -> Cost:
        """Return no cost: ASTRA copies the volume or the projections to texture memory during a call only."""
        return Cost(0, 0.0)

    @classmethod
    def refusal(cls, geometry: Geometry, kind: Kind, device: torch.device, budget: int) -> str | None:
        """Refuse without a GPU for torch and for ASTRA, and every kernel but the linear one."""
        if device.type != "cuda":
            return f"it needs a GPU, and the device is {device}"
        if not has_gpu():
            return "ASTRA finds no GPU that it can use"
        if isinstance(geometry, FanGeometry):
            return "it takes parallel beams only"
        return None if kind == "linear" else "ASTRA's GPU projector has the linear kernel only"

    def forward(self, volumes: torch.Tensor) -> torch.Tensor:
        """Project ``(batch, nz, ny, nx)`` to ``(batch, n_angles, ny, nu)``."""
        n, ny, nu = self.geometry.range_shape
        # ASTRA's order of projections is (row, angle, column)
        out = volumes.new_empty(volumes.shape[0], ny, n, nu)
        for volume, result in zip(volumes, out, strict=True):
            for slices, projector in zip(self._groups, self._ids, strict=True):
                if len(self._groups) == 1:
                    call_direct(self._lock, astra.projector3d.direct_FP, projector, volume, result)
                else:
                    index = torch.from_numpy(slices).to(volume.device)
                    part = result.new_empty(len(slices), n, nu)
                    call_direct(self._lock, astra.projector3d.direct_FP, projector, volume[:, index], part)
                    result[index] = part
        return out.permute(0, 2, 1, 3)

    def adjoint(self, projections: torch.Tensor) -> torch.Tensor:
        """Back-project ``(batch, n_angles, ny, nu)`` to ``(batch, nz, ny, nx)``."""
        out = projections.new_empty(projections.shape[0], *self.geometry.shape)
        for data, result in zip(projections.permute(0, 2, 1, 3), out, strict=True):
            for slices, projector in zip(self._groups, self._ids, strict=True):
                if len(self._groups) == 1:
                    call_direct(self._lock, astra.projector3d.direct_BP, projector, data, result)
                else:
                    index = torch.from_numpy(slices).to(data.device)
                    part = result.new_empty(result.shape[0], len(slices), result.shape[2])
                    call_direct(self._lock, astra.projector3d.direct_BP, projector, data[index], part)
                    result[:, index] = part
        return out


def call_direct(lock: Any, operation: Any, projector: int, source: torch.Tensor, out: torch.Tensor) -> None:
    """Run ``direct_FP`` or ``direct_BP`` of a ``cuda3d`` projector from ``source`` to ``out``, both on the GPU.

    Raises
    ------
    BackendError
        If ASTRA wrote nothing.
    """
    source = source.detach().contiguous()
    with lock, torch.cuda.device(source.device):
        out.view(-1)[:: max(1, out.numel() - 1)] = float("nan")  # ASTRA 2.5 can fail here without an exception
        astra.set_gpu_index(torch.cuda.current_device())
        # ASTRA uses its own streams and does not wait for the stream that filled these tensors
        torch.cuda.current_stream().synchronize()
        operation(projector, source, out=out)
        if bool(torch.isnan(out.view(-1)[0])) and bool(torch.isfinite(source).all()):
            raise BackendError("ASTRA's GPU projector returned without a result; is the GPU's memory full?")


def _delete_projectors(ids: list[int]) -> None:
    astra.projector3d.delete(ids)
