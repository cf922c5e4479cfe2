"""The method ``landweber`` for tomoprior."""

from __future__ import annotations

from typing import Any

import torch
from pydantic import Field

from tomoprior import Geometry, Projector, Reconstruction
from tomoprior.methods import Progress, Settings, arguments


class LandweberSettings(Settings):
    """Settings of ``landweber``."""

    num_iter: int = Field(100, ge=1, description="Number of iterations.")
    relaxation: float = Field(
        1.9, gt=0, lt=2, description="Step length, as a multiple of 1 / |A|^2; the iteration converges below 2."
    )


class Landweber:
    """``x <- x + relaxation / |A|^2 A^T W (p - A x)``: descent on ``|W^(1/2) (p - A x)|^2``.

    Landweber, Am. J. Math. 73 (1951) 615.
    """

    name = "landweber"
    summary = "Landweber's iteration: least squares by plain gradient descent"
    citation = "Landweber, Am. J. Math. 73 (1951) 615"
    Settings = LandweberSettings
    couples_slices = False  # a slice is the same alone as among others
    uses_projector = True

    def memory(self, geometry: Geometry, settings: LandweberSettings) -> int:
        """Return the bytes at the peak: three volumes, four stacks of projections, and 32 MiB for the libraries."""
        nz, ny, nx = geometry.shape
        n, _, nu = geometry.range_shape
        return 2**25 + 4 * ny * (3 * nz * nx + 4 * n * nu)

    def cost_in_pairs(self, geometry: Geometry, settings: LandweberSettings) -> float:
        """Return the cost in pairs of a forward projection and an adjoint."""
        return settings.num_iter + 2.0

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: LandweberSettings,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """See ``tomoprior.methods.Method.reconstruct``."""
        A = projector
        arguments.check_projections(projections, A)
        arguments.check_initial(initial, A)
        arguments.refuse_arguments(self.name, mask=mask)  # refuse a mask rather than ignore it
        w: Any = arguments.expand_weights(weights, A)
        w = 1.0 if w is None else w / w.amax()  # weights of at most 1 keep the step stable
        x = torch.zeros(A.domain_shape, device=A.device) if initial is None else initial.clone()
        residuals: list[float] = []
        with torch.no_grad():
            # |A|^2 is at most the largest row sum times the largest column sum, slice by slice
            rays, voxels = A(torch.ones_like(x)), A.T(torch.ones_like(projections))
            tiny = torch.finfo(torch.float32).tiny  # for rays that miss the grid, and for projections of zero
            step = settings.relaxation / (rays.amax((0, 2), True) * voxels.amax((0, 2), True)).clamp_min(tiny)
            scale = max(float((w * projections * projections).sum()), tiny)
            for i in range(settings.num_iter):
                r = projections - A(x)
                residuals.append((float((w * r * r).sum()) / scale) ** 0.5)
                x += step * A.T(w * r)
                if progress is not None:
                    progress(i + 1, settings.num_iter, {"residual": residuals[-1]})
        return Reconstruction(x, A.geometry, history={"residual": residuals}, provenance={"iterations": len(residuals)})
