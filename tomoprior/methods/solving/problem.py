"""The set-up that all iterative methods share: padding, memory layout, weights, mask, warm start."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.methods import arguments
from tomoprior.methods.solving.slice_sums import inner_products
from tomoprior.projector import Projector

#: At most this share of the width is added on either side. Rays at high tilt leave any grid sooner or later; the
#: artefacts that they leave lie at the grid's edge, and this keeps them out of the field of view at 1.5 times the cost.
MAX_PAD = 0.25

#: A divisor that is never zero.
TINY = torch.finfo(torch.float32).tiny


@dataclass
class Problem:
    """``min ||W^(1/2) (A x - p)||^2`` over volumes in a mask, with everything in the layout that A likes.

    Attributes
    ----------
    A
        The projector on the padded grid.
    p
        Projections, ``A.range_shape``.
    w
        Weights that broadcast over ``p``, or None.
    mask
        0 or 1, broadcasts over a volume, or None.
    x
        The starting volume, ``A.domain_shape``; a solver may change it in place.
    pad
        Voxels added on either side of x.
    w_scale
        What the weights were divided by to have a mean of 1, for which the steps of ``tv`` are balanced, or near 1 where slices
        are apart. A strength given against the original weights has to be divided by it too.
    """

    A: Projector
    p: torch.Tensor
    w: torch.Tensor | None
    mask: torch.Tensor | None
    x: torch.Tensor
    pad: int
    w_scale: float = 1.0

    def weighted(self, r: torch.Tensor) -> torch.Tensor:
        """``W r``."""
        return r if self.w is None else self.w * r

    def norm(self, r: torch.Tensor) -> float:
        """``||W^(1/2) r||``."""
        if self.w is None:
            return float(torch.linalg.vector_norm(r))
        return math.sqrt(float((r * r).mul_(self.w).sum()))

    @property
    def scale(self) -> float:
        """``||W^(1/2) p||``, what residuals are fractions of; never zero. Costs a pass over the projections."""
        return max(self.norm(self.p), TINY)

    def dot(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
        """Inner products of volumes or projections: one per slice, ``(1, ny, 1)``, or one in all if slices couple."""
        products = inner_products(a, b)
        return products.sum(1, keepdim=True) if self.A.geometry.couples_slices else products

    def masked(self, x: torch.Tensor) -> torch.Tensor:
        """``x`` with zeros outside the mask, in place."""
        return x if self.mask is None else x.mul_(self.mask)

    def crop(self, x: torch.Tensor) -> torch.Tensor:
        """Back to the grid that was asked for."""
        return x if self.pad == 0 else x[..., self.pad : x.shape[-1] - self.pad]


def auto_pad(geometry: Geometry) -> int:
    """Voxels to add at either end of x so that rays through the field of view stay in the grid, up to ``MAX_PAD``.

    A grid as thick as it is wide holds a whole object, and no ray that matters leaves it: there it is zero. A thinner one is
    a slab that goes on beyond the field of view, and its material there is in the projections. A fan is taken for one around
    a whole object.
    """
    nz, _, nx = geometry.shape
    if nz >= nx or isinstance(geometry, FanGeometry):
        return 0
    cos, sin = np.abs(np.cos(geometry.angles)), np.abs(np.sin(geometry.angles))
    reach = np.max((geometry.detector[1] / 2 + sin * nz / 2) / np.maximum(cos, 1e-6))
    return int(min(max(0.0, math.ceil(reach - nx / 2)), math.ceil(MAX_PAD * nx)))


def padding(geometry: Geometry, pad: int | str) -> int:
    """Voxels to add at either end of x for a setting ``pad``: a number, or "auto"."""
    return auto_pad(geometry) if pad == "auto" else int(pad)


def set_up_problem(
    projections: torch.Tensor,
    projector: Projector,
    pad: int | str,
    *,
    weights: torch.Tensor | None,
    initial: torch.Tensor | None,
    mask: torch.Tensor | None,
    slices_apart: bool = False,
) -> Problem:
    """Check the arguments of an iterative method and lay them out; raises InputError.

    With ``slices_apart`` a slice of the problem has the same bits whatever slices stand beside it.
    """
    arguments.check_projections(projections, projector)
    w = arguments.expand_weights(weights, projector)
    m = arguments.expand_mask(mask, projector)
    arguments.check_initial(initial, projector)
    width = padding(projector.geometry, pad)
    A = projector.with_geometry(projector.geometry.padded(width)) if width else projector
    if width and m is not None:
        # the mask speaks of the grid that was asked for: what lies beside it stays free to take up its share of the data
        m = torch.nn.functional.pad(m, (width, width), value=1.0)
    x = A.T(torch.zeros_like(projections))  # zeros, in the layout that A likes
    if initial is not None:
        x[..., width : x.shape[-1] - width] = initial
        x = x if m is None else x.mul_(m)
    p = copy_in_layout(A(x), projections)
    scale = 1.0
    if w is not None:
        scale = float(w[w > 0].double().mean())
        if slices_apart:
            # the mean is one of all slices at hand; a power of two leaves no trace in the rounding of any of them
            scale = 2.0 ** round(math.log2(scale))
        w = copy_in_layout(p, w).div_(scale) if w.shape == p.shape else w / scale
    if m is not None and m.shape == x.shape:
        m = copy_in_layout(x, m)
    return Problem(A, p, w, m, x, width, scale)


def select_tilts(problem: Problem, views: NDArray[np.intp]) -> Problem:
    """The same problem with some tilts only; the volume is shared."""
    index = torch.from_numpy(views).to(problem.p.device)
    A = problem.A.subset(views)
    p = copy_in_layout(A(problem.x), problem.p[index])
    return replace(problem, A=A, p=p, w=None if problem.w is None else problem.w[index])


def select_rows(problem: Problem, start: int, stop: int) -> Problem:
    """The same problem on the slices ``start <= y < stop`` only; nothing is copied."""
    geometry = problem.A.geometry
    if stop - start == geometry.shape[1]:
        return problem

    def part(values: torch.Tensor | None) -> torch.Tensor | None:
        return values if values is None or values.shape[1] == 1 else values[:, start:stop]

    return replace(
        problem,
        A=problem.A.with_geometry(geometry.rows(start, stop)),
        p=problem.p[:, start:stop],
        w=part(problem.w),
        mask=part(problem.mask),
        x=problem.x[:, start:stop],
    )


def copy_in_layout(layout: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
    """A copy of ``values`` with the strides of ``layout``: mixing strides makes element-wise work several times slower."""
    return torch.empty_like(layout).copy_(values)


def slices_share_rays(geometry: Geometry) -> bool:
    """Whether all slices have the same rays."""
    return not geometry.couples_slices and len(geometry.slice_groups()) == 1


def ray_and_voxel_sums(problem: Problem) -> tuple[torch.Tensor, torch.Tensor]:
    """``A m`` and ``m A^T W 1`` for mask m: what a ray and a voxel take part in.

    Where all slices are alike they are those of one slice, ``(n_angles, 1, nu)`` and ``(nz, 1, nx)``, and broadcast: a fifth
    of an iterative method's memory is saved, and most of SART's, which has them for every subset.
    """
    geometry, w, m = problem.A.geometry, problem.w, problem.mask
    one = slices_share_rays(geometry) and (w is None or w.shape[1] == 1) and (m is None or m.shape[1] == 1)
    A = problem.A.with_geometry(geometry.rows(0, 1)) if one else problem.A
    ones = torch.ones(A.domain_shape, device=A.device)
    rays = A(ones if m is None else ones.mul_(m))
    weights = torch.ones(A.range_shape, device=A.device)
    voxels = A.T(weights if w is None else weights.mul_(w))
    return rays, voxels if m is None else voxels.mul_(m)


def reciprocal_(x: torch.Tensor) -> torch.Tensor:
    """``1 / x`` in place where x is above a millionth of its slice's maximum, else 0: rays and voxels that nothing meets."""
    nothing = x <= 1e-6 * x.amax((0, 2), keepdim=True)
    return x.reciprocal_().masked_fill_(nothing, 0.0)
