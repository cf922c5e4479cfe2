"""Plug-and-play: data steps in turn with a denoiser, which stands for a prior."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import BeforeValidator, Field, PlainSerializer

from tomoprior.errors import InputError
from tomoprior.geometry import Geometry
from tomoprior.methods.base import Tunable
from tomoprior.methods.pnp import denoisers
from tomoprior.methods.pnp.denoisers import SeriesDenoiser
from tomoprior.methods.solving.conjugate import solve_positive
from tomoprior.methods.solving.iterative import IterativeMethod, IterativeSettings, Monitor
from tomoprior.methods.solving.problem import Problem, copy_in_layout

#: Rows beyond its own that a slab needs: conjugate gradients share their step lengths among all slices.
HALO = 16
#: The coupling without a choice, per tilt: A^T A has eigenvalues of n_angles / (pi k) at k cycles per voxel.
COUPLING = 0.3
#: A data step ends when its residual falls below this share of its first residual.
RESIDUAL_TOLERANCE = 1e-6


class PnPSettings(IterativeSettings):
    """Settings of ``pnp``."""

    fast: ClassVar[Mapping[str, Any]] = {"num_iter": 10}

    num_iter: int = Field(30, ge=1, description="Number of data steps, each followed by the denoiser.")
    denoiser: Annotated[
        Any,
        BeforeValidator(denoisers.as_settings_value),
        PlainSerializer(denoisers.name_denoiser, return_type=str, when_used="json"),
    ] = Field(
        "nlm",
        description="The prior, a function of images and their noise: a registered name (nlm: non-local means; prior: the "
        "diffusion prior that comes with the package), FILE.safetensors (a prior of tomoprior train), module:attribute (a "
        "function, or a class without arguments), or in Python any callable denoiser(x, sigma), such as a deepinv model.",
    )
    sigma: float = Field(
        0.1, gt=0, description="Noise level that the denoiser is told, in units of scale; more of it makes the volume smoother."
    )
    reg_par: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        "auto",
        description="Weight of the squared distance from the denoised volume. The data decide where A^T A, about "
        f"n_angles / (pi k) at k cycles per voxel, exceeds it. auto: {COUPLING} times the number of tilts.",
    )
    scale: Annotated[float, Field(gt=0)] | Literal["auto"] = Field(
        "auto",
        description="Density per voxel that is 1 for the denoiser: networks expect values from 0 to 1. auto: the largest value "
        "after the first data step. Unused by priors of tomoprior train, which measure it.",
    )
    planes: Literal["slices", "volume"] = Field(
        "slices",
        description="slices: the denoiser gets images (ny, 1, nz, nx), one a slice. volume: it gets (1, 1, nz, ny, nx). A "
        "prior of tomoprior train knows its own.",
    )
    num_cg: int = Field(
        10, ge=1, description="Largest number of conjugate gradients in a data step, which start from the last."
    )


class PnP(IterativeMethod):
    """``x <- argmin 1/2 ||W^(1/2) (A x - p)||^2 + reg_par / 2 ||x - v + u||^2``, ``v <- D(x + u)``, ``u <- u + x - v``.

    With the proximal map of ``R / reg_par`` as denoiser D this is ADMM for the data term plus R. Any denoiser can replace it.

    Venkatakrishnan, Bouman and Wohlberg, GlobalSIP (2013) 945, eq. 6 to 9.
    """

    name = "pnp"
    summary = "plug-and-play: any denoiser as the prior, in turn with data steps"
    citation = "Venkatakrishnan, Bouman and Wohlberg, GlobalSIP (2013) 945, eq. 6 to 9"
    Settings = PnPSettings
    tunable: ClassVar[Tunable] = {"sigma": (0.05, 0.1, 0.2)}
    couples_slices = True
    peak_arrays = (9.5, 1.5)

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Return the rows beyond its own that a slab of a larger volume needs."""
        return HALO

    def check(self, geometry: Geometry, settings: PnPSettings) -> None:
        """Raise an error if the denoiser does not exist, or does not suit the geometry."""
        denoiser = denoisers.find_denoiser(settings.denoiser)
        if isinstance(denoiser, SeriesDenoiser):
            denoiser.check(geometry)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Return the cost in pairs of the data steps; that of the denoiser is not known."""
        return float(super().cost_in_pairs(geometry, settings) * (settings.num_cg + 1))

    def open_settings(self, settings: PnPSettings) -> dict[str, Any]:
        """Return the scale, if it is open: all slabs take that of the first."""
        return {"scale": None} if settings.scale == "auto" else {}

    def solve(self, problem: Problem, settings: PnPSettings, monitor: Monitor) -> torch.Tensor:
        """Find the denoiser, then iterate."""
        A, x = problem.A, problem.x
        self.check(A.geometry, settings)
        rho = COUPLING * A.geometry.n_angles if settings.reg_par == "auto" else settings.reg_par / problem.weight_scale
        denoise = self._prepare(problem, settings)
        v, u = x.clone(), torch.zeros_like(x)
        for _ in range(settings.num_iter):
            r = A(x).neg_().add_(problem.data)
            if monitor.stop(problem.norm(r)):
                break
            x = solve_data_step(problem, x, r, v - u, rho, settings.num_cg)
            if "scale" not in monitor.settled:
                monitor.settled["scale"] = _measure_scale(x) if settings.scale == "auto" else settings.scale
            v = copy_in_layout(x, denoise(x + u, monitor.settled["scale"]))
            u.add_(x).sub_(v)
        return x

    @staticmethod
    def _prepare(problem: Problem, settings: PnPSettings) -> Callable[[torch.Tensor, float], torch.Tensor]:
        """Return a function of a volume and the scale."""
        denoiser = denoisers.find_denoiser(settings.denoiser)
        if isinstance(denoiser, SeriesDenoiser):
            prepared = denoiser.prepare(problem.data, problem.A, problem.weights)
            return lambda x, scale: prepared(x, settings.sigma)
        moved = denoisers.move_to(denoiser, problem.data.device)
        return lambda x, scale: denoisers.apply_denoiser(moved, x, settings.sigma, scale, settings.planes)


def solve_data_step(
    problem: Problem, x: torch.Tensor, r: torch.Tensor, target: torch.Tensor, rho: float, num_cg: int
) -> torch.Tensor:
    """Minimise ``1/2 ||W^(1/2) (A x - p)||^2 + rho / 2 ||x - target||^2`` inside the mask from ``x``, which changes in place.

    ``r`` is the residual ``p - A x``.
    """
    A = problem.A

    def normal(d: torch.Tensor) -> torch.Tensor:
        return problem.apply_mask_(A.T(problem.apply_weights(A(d)))).add_(d, alpha=rho)

    gradient = problem.apply_mask_(A.T(problem.apply_weights(r)).add_(target - x, alpha=rho))
    return solve_positive(normal, x, gradient, num_cg, RESIDUAL_TOLERANCE)


def _measure_scale(x: torch.Tensor) -> float:
    scale = float(x.abs().amax())
    if scale == 0:
        raise InputError("the projections are zero, so that no scale for the denoiser can be measured; give scale")
    return scale
