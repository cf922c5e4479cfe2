"""ASTRA's own algorithms as methods: ``astra.SIRT``, ``astra.FBP``, ``astra.SIRT_CUDA``, ``astra.SIRT3D_CUDA``, ..."""

from __future__ import annotations

from typing import Any, ClassVar

import astra
import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tomoprior import plugins
from tomoprior.errors import BackendError, InputError, UnknownNameError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Progress, Settings, arguments
from tomoprior.methods.base import ALLOCATOR_BYTES
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

from .centring import center_rows, weigh_tilts
from .cuda import has_gpu
from .geometry import slice_geometries, vectors_3d

ON_CPU = ("ART", "BP", "CGLS", "FBP", "SART", "SIRT")
ON_GPU = ("BP_CUDA", "CGLS_CUDA", "EM_CUDA", "FBP_CUDA", "SART_CUDA", "SIRT_CUDA")
IN_3D = ("BP3D_CUDA", "CGLS3D_CUDA", "SIRT3D_CUDA")
#: Algorithms without an initial volume and bounds.
DIRECT = ("BP", "FBP")


class AstraSettings(Settings):
    """Settings of ASTRA's algorithms; an algorithm ignores those that it does not know."""

    num_iter: int = Field(
        20,
        ge=1,
        description="Iterations. For ART and SART, one iteration is a pass over all rays or tilts.",
    )
    min_constraint: float | None = Field(None, description="Lower bound (SIRT, SART, ART and EM).")
    max_constraint: float | None = Field(None, description="Upper bound.")
    filter_name: str = Field("ram-lak", description="Filter of FBP: ram-lak, shepp-logan, cosine, hamming, hann.")


class AstraMethods:
    """The family of methods ``astra``."""

    summary: ClassVar[str] = "ASTRA's own algorithms, slice by slice on the CPU, or on the GPU"

    def members(self) -> list[str]:
        """Return the names of the algorithms that can run here."""
        return sorted([*ON_CPU, *(ON_GPU + IN_3D if has_gpu() else ())])

    def get(self, member: str) -> Method:
        """Return ``astra.<member>``; raises BackendError without the GPU that it needs, UnknownNameError for no algorithm."""
        if member in ON_GPU + IN_3D and not has_gpu():
            raise BackendError(f"astra.{member} needs a GPU that ASTRA can use, and there is none")
        if member == "EM":
            raise UnknownNameError("ASTRA has EM on the GPU only, as astra.EM_CUDA; tomopy.mlem is the same on the CPU")
        if member not in ON_CPU + ON_GPU + IN_3D:
            raise plugins.unknown_name_error("algorithm of astra", member, sorted(ON_CPU + ON_GPU + IN_3D))
        return AstraMethod(member)


class AstraMethod:
    """One unmodified algorithm of ASTRA."""

    Settings: type[Settings] = AstraSettings
    couples_slices = False
    uses_projector = False

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.name = f"astra.{algorithm}"
        self.summary = f"ASTRA's {algorithm}"
        self.citation = "van Aarle et al., Opt. Express 24 (2016) 25129"

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes of the volume and a few slices or, in 3-D, of a few volumes and projections."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        copies = 4 * ny if self.algorithm in IN_3D else 8
        return ALLOCATOR_BYTES + 4 * nz * ny * nx + 4 * copies * (nz * nx + n * nu)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the cost in pairs of products; a pair of ASTRA, slice by slice, takes about twenty times as long."""
        return 20.0 * (1 if self.algorithm.split("_")[0] in DIRECT else settings.num_iter)

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: Any,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """Reconstruct as ``tomoprior.methods.Method.reconstruct``, without weights, and with one mask for all slices."""
        arguments.check_rays(self, projector.geometry)
        geometry = projector.geometry
        arguments.check_projections(projections, projector)
        arguments.check_initial(initial, projector)
        base = self.algorithm.split("_")[0].removesuffix("3D")
        arguments.refuse_arguments(self.name, weights=weights)
        if base in (*DIRECT, "CGLS") and _bounds(settings):
            raise InputError(f"{self.name} has no bounds; leave out min_constraint and max_constraint")
        if base in DIRECT:
            arguments.refuse_arguments(self.name, **{"initial volume": initial})
        if geometry.couples_slices:
            raise InputError(f"{self.name} works slice by slice and cannot take shifts along y; align the series first")
        m = arguments.expand_mask(mask, projector)
        if m is not None and m.shape[1] != 1:
            raise InputError(f"{self.name} takes a mask of shape (nz, nx)")
        plane = None if m is None else m[:, 0].cpu().numpy()
        data = projections.cpu().numpy()
        start = np.zeros(geometry.shape, np.float32) if initial is None else initial.cpu().numpy().copy()
        if self.algorithm in IN_3D:
            volume = self._reconstruct_volume(data, start, geometry, settings)
            volume = volume if plane is None else volume * plane[:, None, :]
        else:
            volume = start
            for y in range(geometry.shape[1]):
                volume[:, y] = self._reconstruct_slice(data[:, y], volume[:, y], geometry, y, projector.kind, settings, plane)
                if progress is not None:
                    progress(y + 1, geometry.shape[1], {})
        return Reconstruction(torch.from_numpy(np.ascontiguousarray(volume)), geometry)

    def _reconstruct_slice(
        self,
        data: NDArray[Any],
        start: NDArray[Any],
        geometry: Geometry,
        y: int,
        kind: str,
        settings: Any,
        mask: NDArray[Any] | None,
    ) -> NDArray[np.float32]:
        base = self.algorithm.split("_")[0]
        if not data.any() and not start.any():
            return np.zeros_like(start)  # ASTRA's CGLS divides by the norm of the data
        rays, grid = slice_geometries(geometry, y)
        filtered = base == "FBP" and not self.algorithm.endswith("_CUDA")
        if base == "FBP":
            data = data * weigh_tilts(geometry)
        if filtered:  # ASTRA's CPU FBP has no vector geometry
            data = center_rows(data, geometry.offsets(y))
            rays = astra.create_proj_geom("parallel", 1.0, data.shape[1], geometry.angles)
        kind = "cuda" if self.algorithm.endswith("_CUDA") else kind
        ids: list[tuple[Any, int]] = []
        try:
            ids.append((astra.projector, astra.create_projector(kind, rays, grid)))
            ids.append((astra.data2d, astra.data2d.create("-sino", rays, np.ascontiguousarray(data))))
            ids.append((astra.data2d, astra.data2d.create("-vol", grid, np.ascontiguousarray(start))))
            config = astra.astra_dict(self.algorithm)
            config["ProjectorId"], config["ProjectionDataId"], config["ReconstructionDataId"] = (i for _, i in ids)
            option = _bounds(settings) if base not in (*DIRECT, "CGLS") else {}
            if mask is not None and not filtered:  # FBP has no mask: its result is masked below
                ids.append((astra.data2d, astra.data2d.create("-vol", grid, np.ascontiguousarray(mask))))
                option["ReconstructionMaskId"] = ids[-1][1]
            if base == "FBP":
                option["FilterType"] = settings.filter_name
            config["option"] = option
            ids.append((astra.algorithm, astra.algorithm.create(config)))
            # ASTRA counts single rays (ART) or tilts (SART) as iterations
            steps = {"ART": data.size, "SART": len(data)}.get(base, 1)
            astra.algorithm.run(ids[-1][1], steps * settings.num_iter if base not in DIRECT else 1)
            image = astra.data2d.get(ids[2][1])
            if not np.all(np.isfinite(image)):
                raise BackendError(f"{self.name} gave values that are not finite in slice {y}")
            return np.asarray(image * mask if mask is not None else image, np.float32)
        except astra.log.AstraError as error:
            raise BackendError(f"{self.name}: {str(error).splitlines()[0]}") from error
        finally:
            for table, number in reversed(ids):
                table.delete(number)

    def _reconstruct_volume(
        self, data: NDArray[Any], start: NDArray[Any], geometry: Geometry, settings: Any
    ) -> NDArray[np.float32]:
        if len(geometry.slice_groups()) > 1:
            raise InputError(f"{self.name} takes one centre for all slices")
        nz, ny, nx = geometry.shape
        rays = astra.create_proj_geom("parallel3d_vec", ny, geometry.detector[1], vectors_3d(geometry, 0))
        grid = astra.create_vol_geom(ny, nx, nz)
        ids: list[tuple[Any, int]] = []
        try:
            ids.append((astra.data3d, astra.data3d.create("-sino", rays, np.ascontiguousarray(data.transpose(1, 0, 2)))))
            ids.append((astra.data3d, astra.data3d.create("-vol", grid, start)))
            config = astra.astra_dict(self.algorithm)
            config["ProjectionDataId"], config["ReconstructionDataId"] = (i for _, i in ids)
            if self.algorithm.startswith("SIRT"):
                config["option"] = _bounds(settings)
            ids.append((astra.algorithm, astra.algorithm.create(config)))
            astra.algorithm.run(ids[-1][1], 1 if self.algorithm.startswith("BP") else settings.num_iter)
            return np.asarray(astra.data3d.get(ids[1][1]), np.float32)
        except astra.log.AstraError as error:
            raise BackendError(f"{self.name}: {str(error).splitlines()[0]}") from error
        finally:
            for table, number in reversed(ids):
                table.delete(number)


def _bounds(settings: Any) -> dict[str, float]:
    named = {"MinConstraint": settings.min_constraint, "MaxConstraint": settings.max_constraint}
    return {name: value for name, value in named.items() if value is not None}
