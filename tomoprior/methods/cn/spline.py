"""Fields that are linear in their weights: one weight a voxel, spread by a B-spline.

``f(r) = background + sum_k c_k prod_axis beta(r_axis - k_axis)`` with nodes k on the voxel centres and as far beyond the grid
as a spline reaches, so that the splines sum to one everywhere in the grid. With c >= 0 the field is nowhere negative, also
between voxels. In electron tomography such basis functions are known as blobs (Lewitt, J. Opt. Soc. Am. A 7 (1990) 1834;
Marabini, Herman and Carazo, Ultramicroscopy 72 (1998) 53); B-splines: Unser, IEEE Signal Process. Mag. 16 (1999) 22.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.interpolate import BSpline

from tomoprior.methods.cn.field import Field, check_mask, check_size

#: Supported degrees: odd, so that nodes lie on voxel centres.
DEGREES = (1, 3, 5, 7)


def bspline(distance: NDArray[np.float64], degree: int) -> NDArray[np.float64]:
    """Return the centred B-spline at distances in voxels; it is zero beyond ``(degree + 1) / 2``."""
    knots = np.arange(degree + 2) - (degree + 1) / 2
    return np.nan_to_num(BSpline.basis_element(knots, extrapolate=False)(distance))


class SplineBasis:
    """The linear map from weights on nodes to values on voxels, and its adjoint.

    Parameters
    ----------
    degree
        An odd number. 1 is the identity on voxels (trilinear interpolation between them).

    Attributes
    ----------
    reach
        Nodes beyond the grid at either end of each axis.
    """

    def __init__(self, degree: int) -> None:
        self.degree = degree
        self.reach = degree // 2
        self._taps = bspline(np.arange(-self.reach, self.reach + 1).astype(np.float64), degree).tolist()

    def nodes(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the numbers of nodes of a grid of ``shape``."""
        return tuple(n + 2 * self.reach for n in shape)

    def values(self, weights: torch.Tensor) -> torch.Tensor:
        """Return ``f - background`` at the voxel centres: ``(nz, ny, nx)`` from weights of shape ``nodes((nz, ny, nx))``."""
        for axis in range(3) if self.reach else ():
            n = weights.shape[axis] - 2 * self.reach
            out = weights.narrow(axis, 0, n) * self._taps[0]
            for k, tap in enumerate(self._taps[1:], 1):
                out.add_(weights.narrow(axis, k, n), alpha=tap)
            weights = out
        return weights

    def adjoint(self, values: torch.Tensor) -> torch.Tensor:
        """Apply the transpose of ``values``."""
        for axis in reversed(range(3)) if self.reach else ():
            n = values.shape[axis]
            size = list(values.shape)
            size[axis] = n + 2 * self.reach
            out = _zeros_in_layout(values, size)
            for k, tap in enumerate(self._taps):
                out.narrow(axis, k, n).add_(values, alpha=tap)
            values = out
        return values


def _zeros_in_layout(layout: torch.Tensor, size: list[int]) -> torch.Tensor:
    """Return zeros with the memory order of ``layout``'s axes: mixed orders make sums several times slower."""
    order = sorted(range(layout.ndim), key=lambda axis: layout.stride(axis), reverse=True)
    back = [order.index(axis) for axis in range(layout.ndim)]
    return torch.zeros([size[axis] for axis in order], dtype=layout.dtype, device=layout.device).permute(back)


class SplineField(Field):
    """A fitted spline field.

    Parameters
    ----------
    weights
        Weights on the nodes of the grid ``shape``, widened by ``pad`` voxels at either end of x.
    mask
        1 where the field may differ from zero, else 0, per voxel of the widened grid; or None. A point belongs to its nearest
        voxel.
    """

    kind: ClassVar[str] = "spline"

    def __init__(
        self,
        weights: torch.Tensor,
        shape: tuple[int, int, int],
        degree: int,
        *,
        pad: int = 0,
        background: float = 0.0,
        mask: torch.Tensor | None = None,
    ) -> None:
        self.weights, self.shape, self.degree, self.pad = weights, shape, degree, pad
        self.background, self.mask = background, mask
        self.device = weights.device

    def _evaluate(self, points: torch.Tensor) -> torch.Tensor:
        reach = self.degree // 2
        at = points + torch.tensor([0, 0, self.pad], dtype=points.dtype, device=points.device)
        # a spline is zero from (degree + 1) / 2 on, so degree + 1 nodes contribute along each axis
        first = torch.floor(at).long() - reach
        span = torch.arange(self.degree + 1, device=points.device)
        nodes = first[:, None, :] + span[None, :, None]  # (n, degree + 1, 3), counted from the grid's first voxel
        distance = (at[:, None, :] - nodes).cpu().numpy()
        weight = torch.from_numpy(bspline(distance, self.degree)).to(points.device)
        # outside the outermost voxel centres a node may be missing: the last one replaces it
        index = [(nodes[..., axis] + reach).clamp(0, self.weights.shape[axis] - 1) for axis in range(3)]
        picked = self.weights[index[0][:, :, None, None], index[1][:, None, :, None], index[2][:, None, None, :]]
        out = torch.einsum("nabc,na,nb,nc->n", picked.double(), *(weight[..., axis] for axis in range(3))) + self.background
        if self.mask is not None:
            nearest = [torch.round(at[:, axis]).long().clamp(0, self.mask.shape[axis] - 1) for axis in range(3)]
            out = out * self.mask[nearest[0], nearest[1], nearest[2]]
        return out.float()

    def state(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return weights and mask; degree, padding and background."""
        arrays = {"weights": self.weights}
        if self.mask is not None:
            arrays["mask"] = self.mask.expand(self.mask.shape[0], self.shape[1], self.mask.shape[2])
        return arrays, {"degree": self.degree, "pad": self.pad, "background": self.background}

    @classmethod
    def from_state(cls, arrays: dict[str, torch.Tensor], values: dict[str, Any]) -> SplineField:
        """Restore a field; raises ValueError if sizes contradict each other."""
        nz, ny, nx = (check_size(n, 1) for n in values["shape"])
        degree, pad = values["degree"], check_size(values["pad"], 0)
        if degree not in DEGREES:  # a basis of a high degree takes hours
            raise ValueError(f"{str(degree)[:40]!r} is no degree")
        nodes = SplineBasis(int(degree)).nodes((nz, ny, nx + 2 * pad))
        if tuple(arrays["weights"].shape) != nodes:
            raise ValueError(f"weights of shape {tuple(arrays['weights'].shape)} do not fit a grid of {(nz, ny, nx)}")
        mask = arrays.get("mask")
        check_mask(mask, (nz, ny, nx + 2 * pad))
        return cls(
            arrays["weights"].float(), (nz, ny, nx), int(degree), pad=pad, background=float(values["background"]), mask=mask
        )
