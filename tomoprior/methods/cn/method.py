"""The method ``cn``: a coordinate network fitted to the tilt series, without any learning from other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from tomoprior.errors import Interrupted
from tomoprior.geometry import Geometry
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.cn import cost, fitting, training
from tomoprior.methods.cn.fitting import Fit
from tomoprior.methods.cn.settings import CNSettings, NetworkSettings, SplineSettings
from tomoprior.methods.cn.spline import SplineBasis
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.methods.solving.problem import Problem, set_up_problem
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction
from tomoprior.settings import document_settings

#: Arrays of the size of the nodes and of the projections at the peak of a spline fit; its searches need no more.
NODES, PROJECTIONS = 13.0, 6.0
#: Cost of an iteration of a spline fit, in pairs of a projection and an adjoint; splines and differences add to the pair.
PAIRS = 2.5
#: Rows beyond its own that a slab needs: the reach of the splines, and the longer one of total variation.
HALO = 16

#: Settings of a spline field or of a network: what ``CNSettings.parse`` returns.
FieldSettings = SplineSettings | NetworkSettings


@document_settings
class CN:
    """Fit a continuous function of position: ``min_theta sum_k w_k rho(A_k f_theta - p_k) + reg_par R(f_theta)``.

    Van Veen et al., Int. J. Mol. Sci. 25 (2024) 5473, eq. 1. The function is a spline field or a neural network.
    """

    name = "cn"
    summary = "coordinate network: a continuous field fitted to the tilts alone (preset=paper: Van Veen et al. 2024)"
    citation = "Van Veen et al., IJMS 25 (2024) 5473, eq. 1"
    Settings = CNSettings
    tunable: ClassVar[Tunable] = {"background": (0.0, "held-out")}
    couples_slices = True
    uses_projector = True
    any_rays = True
    takes_transfer = True
    fits_field = True

    def halo(self, geometry: Geometry, settings: FieldSettings) -> int:
        """Return the rows that a slab of a larger volume sees beyond its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: FieldSettings, folder: Path) -> dict[str, Any]:
        """Return the choices by held-out tilts, or for networks the file of the weights from which other slabs start."""
        settled = dict(result.provenance["settled"])
        if isinstance(settings, NetworkSettings):
            path = folder / "initial_field.safetensors"
            result.field.save(path, overwrite=True)
            return {
                "initial_field": str(path),
                **({"reg_par": settled["reg_par"]} if isinstance(settings.reg_par, str) else {}),
            }
        return {
            "degree": round(settled["degree"]),
            "background": settled["background"],
            "reg_par": settled["reg_par"],
            "num_iter": round(settled.get("num_iter", settings.num_iter)),
            "stop": None,
        }

    def memory(self, geometry: Geometry, settings: FieldSettings) -> int:
        """Return the bytes at the peak, without the given projections and the prepared projector."""
        padded = _padded(geometry, settings)
        if isinstance(settings, NetworkSettings):
            return ALLOCATOR_BYTES + cost.estimate_memory(padded, settings)
        n, ny, nu = geometry.range_shape
        nz, _, nx = padded.shape
        sx, sy, sz = SplineBasis(5 if settings.degree == "held-out" else settings.degree).nodes((nx, ny, nz))
        return ALLOCATOR_BYTES + 4 * int(NODES * sx * sy * sz + PROJECTIONS * n * ny * nu)

    def cost_in_pairs(self, geometry: Geometry, settings: FieldSettings) -> float:
        """Return the cost in pairs of a forward projection and an adjoint."""
        padded = _padded(geometry, settings)
        wider = padded.shape[2] / geometry.shape[2]
        if isinstance(settings, NetworkSettings):
            return float(cost.estimate_cost_in_pairs(padded, settings) * wider)
        return float((PAIRS * fitting.count_iterations(settings) + strength.search_cost_in_pairs("auto")) * wider)

    def reconstruct(
        self,
        projections: torch.Tensor,
        projector: Projector,
        settings: FieldSettings,
        *,
        weights: torch.Tensor | None = None,
        initial: torch.Tensor | None = None,
        mask: torch.Tensor | None = None,
        progress: Progress | None = None,
    ) -> Reconstruction:
        """See ``tomoprior.methods.Method.reconstruct``; the result has a ``field``."""
        with torch.no_grad():
            problem = set_up_problem(projections, projector, settings.pad, weights=weights, initial=initial, mask=mask)
            try:
                fit = _fit(problem, settings, progress)
            except Interrupted as stop:
                raise Interrupted(_result(problem, projector, stop.result)) from None
            return _result(problem, projector, fit)


def _padded(geometry: Geometry, settings: FieldSettings) -> Geometry:
    return geometry.padded(resolve_padding(geometry, settings.pad))


def _fit(problem: Problem, settings: FieldSettings, progress: Progress | None) -> Fit:
    if isinstance(settings, SplineSettings):
        return fitting.SplineFitter(problem, settings, progress).fit()
    if settings.regulariser is None:
        reg_par = 0.0
    elif isinstance(settings.reg_par, str):
        reg_par = fitting.rule_of_thumb(problem, settings, strength.estimate_contrast(problem))
    else:
        reg_par = settings.reg_par / problem.weight_scale
    settled = {"reg_par": reg_par * problem.weight_scale, "background": settings.background}
    try:
        field, volume, history = training.train(problem, settings, reg_par, progress, background=settings.background)
    except Interrupted as stop:
        field, volume, history = stop.result
        raise Interrupted(Fit(field, volume, history, settled)) from None
    return Fit(field, volume, history, settled)


def _result(problem: Problem, projector: Projector, fit: Fit) -> Reconstruction:
    return Reconstruction(
        problem.crop(fit.volume),
        projector.geometry,
        history=fit.history,
        field=fit.field,
        provenance={
            "residual": problem.norm(problem.A(fit.volume).sub_(problem.data)) / problem.scale,
            "iterations": len(fit.history["residual"]),
            "pad": problem.pad,
            "settled": fit.settled,
            "inferred": "the missing wedge and the gaps between tilts, which no tilt measures: by the field's form, "
            "its bound and its regulariser",
            "projector": problem.A.describe(),
        },
    )
