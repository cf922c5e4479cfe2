"""The set-up that all iterative methods share: padding, memory layout, weights, mask and starting volume."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import Geometry
from tomoprior.methods import arguments
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.methods.solving.slice_sums import inner_products
from tomoprior.projector import FilteredProjector, Projector

#: A divisor that is never zero.
TINY = torch.finfo(torch.float32).tiny


@dataclass
class Problem:
    """``min ||W^(1/2) (A x - p)||^2`` over volumes inside a mask. All arrays have the memory layout of A.

    Attributes
    ----------
    A
        Projector on the padded grid.
    data
        Projections p, shape ``A.range_shape``.
    weights
        Weights W that broadcast over ``data``, or None.
    mask
        0 or 1, broadcasts over a volume, or None.
    x
        Starting volume, shape ``A.domain_shape``; a solver may change it in place.
    pad
        Voxels added on either side of x.
    weight_scale
        Divisor of the user's weights. It makes their mean 1, for which the steps of ``tv`` are balanced, or brings it near 1
        where slices are independent. Divide a strength for the user's weights by it too.
    """

    A: Projector
    data: torch.Tensor
    weights: torch.Tensor | None
    mask: torch.Tensor | None
    x: torch.Tensor
    pad: int
    weight_scale: float = 1.0

    def apply_weights(self, r: torch.Tensor) -> torch.Tensor:
        """Return ``W r``; without weights this is ``r`` itself."""
        return r if self.weights is None else self.weights * r

    def norm(self, r: torch.Tensor) -> float:
        """Return ``||W^(1/2) r||``."""
        if self.weights is None:
            return float(torch.linalg.vector_norm(r))
        return math.sqrt(float((r * r).mul_(self.weights).sum()))

    @property
    def scale(self) -> float:
        """``||W^(1/2) p||``, the unit of relative residuals; never zero. It costs a pass over the projections."""
        return max(self.norm(self.data), TINY)

    def dot(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Return inner products of volumes or projections: one per slice, ``(1, ny, 1)``, or a single one if slices couple."""
        products = inner_products(a, b)
        return products.sum(1, keepdim=True) if self.A.couples_slices else products

    def apply_mask_(self, x: torch.Tensor) -> torch.Tensor:
        """Set ``x`` to zero outside the mask, in place."""
        return x if self.mask is None else x.mul_(self.mask)

    def crop(self, x: torch.Tensor) -> torch.Tensor:
        """Cut the padding off: return a view of the requested grid."""
        return x if self.pad == 0 else x[..., self.pad : x.shape[-1] - self.pad]


def set_up_problem(
    projections: torch.Tensor,
    projector: Projector,
    pad: int | str,
    *,
    weights: torch.Tensor | None,
    initial: torch.Tensor | None,
    mask: torch.Tensor | None,
    independent_slices: bool = False,
) -> Problem:
    """Check the arguments of an iterative method and build its problem.

    Parameters
    ----------
    projections, projector, weights, initial, mask
        As in ``tomoprior.methods.Method.reconstruct``.
    pad
        Voxels to add at either end of x, or "auto".
    independent_slices
        True gives a slice of the problem the same bits whatever other slices are present.

    Raises
    ------
    InputError
        For arguments that do not fit the projector or are not finite.
    """
    arguments.check_projections(projections, projector)
    weights = arguments.expand_weights(weights, projector)
    mask = arguments.expand_mask(mask, projector)
    arguments.check_initial(initial, projector)
    width = resolve_padding(projector.geometry, pad)
    A = projector.with_geometry(projector.geometry.padded(width)) if width else projector
    if width and mask is not None:
        # the mask covers the requested grid only; padding voxels stay unmasked so that they can absorb material outside
        # the field of view
        mask = torch.nn.functional.pad(mask, (width, width), value=1.0)
    x = A.make_volume()
    if initial is not None:
        x[..., width : x.shape[-1] - width] = initial
        x = x if mask is None else x.mul_(mask)
    data = A.make_projections().copy_(projections)
    scale = 1.0
    if weights is not None:
        scale = float(weights[weights > 0].double().mean())
        if independent_slices:
            # the mean depends on all slices; a power of two changes no slice's rounding
            scale = 2.0 ** round(math.log2(scale))
        weights = copy_in_layout(data, weights).div_(scale) if weights.shape == data.shape else weights / scale
    if mask is not None and mask.shape == x.shape:
        mask = copy_in_layout(x, mask)
    return Problem(A, data, weights, mask, x, width, scale)


def select_tilts(problem: Problem, views: NDArray[np.intp]) -> Problem:
    """Return the problem of some tilts only; it shares the volume."""
    index = torch.from_numpy(views).to(problem.data.device)
    A = problem.A.subset(views)
    data = A.make_projections().copy_(problem.data[index])
    return replace(problem, A=A, data=data, weights=None if problem.weights is None else problem.weights[index])


def select_rows(problem: Problem, start: int, stop: int) -> Problem:
    """Return the problem of the slices ``start <= y < stop`` only; nothing is copied."""
    geometry = problem.A.geometry
    if stop - start == geometry.shape[1]:
        return problem

    def part(values: torch.Tensor | None) -> torch.Tensor | None:
        return values if values is None or values.shape[1] == 1 else values[:, start:stop]

    return replace(
        problem,
        A=problem.A.with_geometry(geometry.rows(start, stop)),
        data=problem.data[:, start:stop],
        weights=part(problem.weights),
        mask=part(problem.mask),
        x=problem.x[:, start:stop],
    )


def copy_in_layout(layout: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """Copy ``values`` with the strides of ``layout``: mixed strides make element-wise work several times slower."""
    return torch.empty_like(layout).copy_(values)


def slices_share_rays(geometry: Geometry) -> bool:
    """Return True if all slices have the same rays."""
    return not geometry.couples_slices and len(geometry.slice_groups()) == 1


def ray_and_voxel_sums(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the row and column sums of the weighted, masked system matrix: ``A m`` and ``m A^T W 1`` for mask m.

    Where all slices share their rays, the sums are those of one slice, ``(n_angles, 1, nu)`` and ``(nz, 1, nx)``, and
    broadcast. This saves a fifth of an iterative method's memory, and most of SART's, which keeps sums for every subset.
    """
    if isinstance(problem.A, FilteredProjector):
        return _bounds_with_filter(problem, problem.A)
    geometry, weights, mask = problem.A.geometry, problem.weights, problem.mask
    one = slices_share_rays(geometry) and all(values is None or values.shape[1] == 1 for values in (weights, mask))
    A = problem.A.with_geometry(geometry.rows(0, 1)) if one else problem.A
    volume = torch.ones(A.domain_shape, device=A.device)
    rays = A(volume if mask is None else volume.mul_(mask))
    stack = torch.ones(A.range_shape, device=A.device)
    voxels = A.T(stack if weights is None else stack.mul_(weights))
    return rays, voxels if mask is None else voxels.mul_(mask)


def _bounds_with_filter(problem: Problem, A: FilteredProjector) -> tuple[torch.Tensor, torch.Tensor]:
    """Return bounds that serve as row and column sums of ``H A``, whose own sums cancel: H has values of either sign.

    With rows ``g R`` and columns ``A^T (w g)``, for the largest row sum R of A, the gain g and the largest weight w of each
    tilt, the scaled operator has a norm of at most 1, as with sums (Pock and Chambolle, ICCV 2011, lemma 2).
    """
    weights = None if problem.weights is None else problem.weights.amax((1, 2), keepdim=True)
    rays, voxels = ray_and_voxel_sums(replace(problem, A=A.bare, weights=A.gain if weights is None else A.gain * weights))
    return A.bound_rows(rays), voxels


def reciprocal_(x: torch.Tensor) -> torch.Tensor:
    """Replace ``x`` by ``1 / x`` in place, and by 0 where x is at most a millionth of its slice's maximum (no ray or voxel)."""
    nothing = x <= 1e-6 * x.amax((0, 2), keepdim=True)
    return x.reciprocal_().masked_fill_(nothing, 0.0)
