"""The method ``cn``: a coordinate network fitted to the tilt series, with nothing learned from other data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import torch

from tomoprior.errors import Interrupted
from tomoprior.geometry import Geometry
from tomoprior.methods.base import ALLOCATOR_BYTES, Tunable
from tomoprior.methods.cn import cost, fitting, training
from tomoprior.methods.cn.fitting import Fit
from tomoprior.methods.cn.settings import CNSettings
from tomoprior.methods.cn.spline import SplineBasis
from tomoprior.methods.solving import strength
from tomoprior.methods.solving.problem import Problem, padding, set_up_problem
from tomoprior.progress import Progress
from tomoprior.projector import Projector
from tomoprior.reconstruction import Reconstruction

#: Arrays of the nodes' and of the projections' size at a spline fit's peak; a search before it takes no more.
NODES, PROJECTIONS = 13.0, 7.0
#: Cost of a spline fit's iteration in pairs of projection and adjoint: splines and differences are the rest.
PAIRS = 2.5
#: Rows beyond its own that a slab sees: the splines' reach, and what total variation carries farther.
HALO = 16


class CN:
    """``min_theta sum_k w_k rho(A_k f_theta - p_k) + reg_par R(f_theta)``: a function of position that explains the tilts."""

    name = "cn"
    summary = "coordinate network: a continuous field fitted to the tilts alone (recipe=paper: Van Veen et al. 2024)"
    citation = "Van Veen et al., IJMS 25 (2024) 5473, eq. 1"
    Settings = CNSettings
    tunable: ClassVar[Tunable] = {"background": (0.0, "held-out")}
    couples_slices = True
    uses_projector = True
    any_rays = True
    fits_field = True

    def halo(self, geometry: Geometry, settings: Any) -> int:
        """Rows that a slab of a larger volume sees beyond its own."""
        return HALO

    def settings_from_pilot(self, result: Reconstruction, settings: CNSettings, folder: Path) -> dict[str, Any]:
        """What held-out tilts chose; of networks the weights, from which others start."""
        found = dict(result.provenance["settled"])
        if settings.encoder != "spline":
            path = folder / "start.safetensors"
            result.field.save(path, overwrite=True)
            return {"start": str(path), **({"reg_par": found["reg_par"]} if isinstance(settings.reg_par, str) else {})}
        return {
            "degree": round(found["degree"]),
            "background": found["background"],
            "reg_par": found["reg_par"],
            "num_iter": round(found.get("num_iter", settings.num_iter)),
            "stop": "none",
        }

    def memory(self, geometry: Geometry, settings: Any) -> int:
        """Bytes at the peak beside the projections given and the prepared projector."""
        padded = _padded(geometry, settings)
        if settings.encoder != "spline":
            return ALLOCATOR_BYTES + cost.memory(padded, settings)
        n, ny, nu = geometry.range_shape
        nz, _, nx = padded.shape
        sx, sy, sz = SplineBasis(5 if settings.degree == "held-out" else settings.degree).nodes((nx, ny, nz))
        return ALLOCATOR_BYTES + 4 * int(NODES * sx * sy * sz + PROJECTIONS * n * ny * nu)

    def cost_in_pairs(self, geometry: Geometry, settings: Any) -> float:
        """Pairs of projection and adjoint."""
        padded = _padded(geometry, settings)
        wider = padded.shape[2] / geometry.shape[2]
        if settings.encoder != "spline":
            return float(cost.cost_in_pairs(padded, settings) * wider)
        return float((PAIRS * fitting.iterations(settings) + strength.search_cost_in_pairs("auto")) * wider)

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
        """See ``tomoprior.methods.Method.reconstruct``; the result has a ``field``."""
        with torch.no_grad():
            problem = set_up_problem(projections, projector, settings.pad, weights=weights, initial=initial, mask=mask)
            try:
                fit = _fit(problem, settings, progress)
            except Interrupted as stop:
                raise Interrupted(_result(problem, projector, stop.result)) from None
            return _result(problem, projector, fit)


def _padded(geometry: Geometry, settings: CNSettings) -> Geometry:
    return geometry.padded(padding(geometry, settings.pad))


def _fit(problem: Problem, settings: CNSettings, progress: Progress | None) -> Fit:
    if settings.encoder == "spline":
        return fitting.SplineFitter(problem, settings, progress).fit()
    # searching for a strength would cost a training each; the settings refuse it
    reg_par = 0.0
    if settings.regulariser != "none":
        given = None if isinstance(settings.reg_par, str) else settings.reg_par / problem.w_scale
        reg_par = fitting.rule(problem, settings, strength.typical_contrast(problem)) if given is None else given
    settled = {"reg_par": reg_par * problem.w_scale, "background": float(settings.background)}
    try:
        field, volume, history = training.train(problem, settings, reg_par, progress, background=float(settings.background))
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
            "residual": problem.norm(problem.A(fit.volume).sub_(problem.p)) / problem.scale,
            "iterations": len(fit.history["residual"]),
            "pad": problem.pad,
            "settled": fit.settled,
            "inferred": "all that no tilt measured: the missing wedge and the gaps between tilts, by the field's form, "
            "its bound and its regulariser",
            "projector": problem.A.describe(),
        },
    )
