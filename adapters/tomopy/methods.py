"""TomoPy's own algorithms as methods: ``tomopy.gridrec``, ``tomopy.sirt``, ..., where TomoPy is installed."""

from __future__ import annotations

import importlib.util
from types import ModuleType
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field

from tomoprior import plugins
from tomoprior.errors import MissingDependencyError
from tomoprior.geometry import Geometry
from tomoprior.methods import Method, Progress, Settings, arguments
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

from . import gridrec

#: The settings of each algorithm. ``fbp`` is left out because it applies no filter, and ``osem`` because it gives NaN.
ALGORITHMS: dict[str, tuple[str, ...]] = {
    "art": ("num_iter",),
    "gridrec": ("filter_name",),
    "mlem": ("num_iter",),
    "pml_hybrid": ("num_iter", "reg_par"),
    "pml_quad": ("num_iter", "reg_par"),
    "sirt": ("num_iter",),
    "tv": ("num_iter", "reg_par"),
    "grad": ("num_iter", "reg_par"),
    "tikh": ("num_iter", "reg_par"),
}
HOW_TO_INSTALL = "TomoPy is not installed; it is on conda-forge only: conda install -c conda-forge tomopy"


class TomopySettings(Settings):
    """Settings of TomoPy's algorithms; each uses the ones in ``ALGORITHMS``."""

    num_iter: int = Field(20, ge=1, description="Iterations (TomoPy's own default is 1).")
    reg_par: float = Field(1.0, description="Regularisation parameter, in TomoPy's units.")
    filter_name: str = Field("shepp", description="Filter of gridrec; the default is TomoPy's.")
    ncore: int | None = Field(None, ge=1, description="Threads; by default all cores.")


class TomopyMethods:
    """The family ``tomopy``."""

    summary: ClassVar[str] = "TomoPy's own algorithms, called through tomopy.recon"

    def members(self) -> list[str]:
        """Return the names of TomoPy's algorithms; none where it is not installed."""
        return sorted(ALGORITHMS) if importlib.util.find_spec("tomopy") is not None else []

    def get(self, member: str) -> Method:
        """Return the method ``tomopy.<member>``."""
        if member not in ALGORITHMS:
            raise plugins.unknown_name_error("algorithm of tomopy", member, sorted(ALGORITHMS))
        _tomopy()
        return TomopyMethod(member)


def _tomopy() -> ModuleType:
    try:
        import tomopy
    except ImportError as error:
        raise MissingDependencyError(HOW_TO_INSTALL) from error
    return tomopy  # type: ignore[no-any-return]


class TomopyMethod:
    """One algorithm of TomoPy, slice by slice on a square grid that holds z and x.

    ``gridrec`` runs on a padded detector; its image is put in its place and its values on the scale of line integrals
    (``tomoprior.adapters.tomopy.gridrec``).
    """

    Settings: type[Settings] = TomopySettings
    couples_slices = False
    uses_projector = False

    def __init__(self, algorithm: str) -> None:
        self.algorithm = algorithm
        self.name = f"tomopy.{algorithm}"
        self.summary = f"TomoPy's {algorithm}"
        self.citation = "Gürsoy et al., J. Synchrotron Rad. 21 (2014) 1188"

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Return the bytes of two copies of the sinograms and three of the volume on the square grid."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        if self.algorithm == "gridrec":
            return 4 * ny * (n * nu + nz * nx) + gridrec.block_memory(geometry, settings.ncore)
        return 4 * ny * (2 * n * nu + 3 * max(nz, nx, nu) ** 2)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the cost: an iteration of TomoPy takes as long as about thirty pairs of products."""
        return 30.0 * settings.num_iter if "num_iter" in ALGORITHMS[self.algorithm] else 5.0

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
        """Reconstruct as ``tomoprior.methods.Method`` says; weights, a mask and shifts of the tilts are refused."""
        arguments.check_rays(self, projector.geometry)
        geometry = projector.geometry
        arguments.check_projections(projections, projector)
        arguments.check_initial(initial, projector)
        shifts = None if geometry.shifts is None else "shifts of tilts"
        arguments.refuse_arguments(self.name, weights=weights, mask=mask, **{"shifts of tilts": shifts})
        if self.algorithm == "gridrec":
            arguments.refuse_arguments(self.name, **{"initial volume": initial})
            volume = gridrec.run_gridrec(
                _tomopy().recon, projections.cpu().numpy(), geometry, filter_name=settings.filter_name, ncore=settings.ncore
            )
            return self._finished(volume, geometry, progress)
        nz, _, nx = geometry.shape
        size = max(nz, nx)  # TomoPy's algorithms expect square grids: use one that holds z and x, and crop it
        keywords: dict[str, Any] = {name: getattr(settings, name) for name in ALGORITHMS[self.algorithm]}
        if "reg_par" in keywords:
            # grad and tikh take a step length first; -1 lets them choose it, a fixed one makes them diverge
            step = {"grad": [-1.0], "tikh": [-1.0]}.get(self.algorithm, [])
            keywords["reg_par"] = np.array([*step, *[settings.reg_par] * 10], np.float32)
        start = None
        if initial is not None:
            padding = [((size - n) // 2, size - n - (size - n) // 2) for n in (nz, nx)]
            start = np.pad(initial.permute(1, 0, 2).cpu().numpy(), [(0, 0), *padding], constant_values=1e-6)
        slices = _tomopy().recon(
            projections.cpu().numpy(), geometry.angles, center=geometry.center, sinogram_order=False, algorithm=self.algorithm,
            init_recon=start, ncore=settings.ncore, num_gridx=size, num_gridy=size, **keywords,
        )  # fmt: skip
        z, x = (size - nz) // 2, (size - nx) // 2
        return self._finished(np.ascontiguousarray(slices[:, z : z + nz, x : x + nx].transpose(1, 0, 2)), geometry, progress)

    def _finished(self, volume: NDArray[np.float32], geometry: Geometry, progress: Progress | None) -> Reconstruction:
        if progress is not None:
            progress(1, 1, {})
        return Reconstruction(torch.from_numpy(volume), geometry)
