"""Checks of the arguments that every method receives. Each error is one line."""

from __future__ import annotations

from typing import Any

import torch

from tomoprior.errors import InputError
from tomoprior.geometry import FanGeometry, Geometry
from tomoprior.projector import Projector


def check_rays(method: Any, geometry: Geometry) -> None:
    """Refuse a geometry other than a parallel beam unless the method declares ``any_rays``."""
    if isinstance(geometry, FanGeometry) and not getattr(method, "any_rays", False):
        raise InputError(
            f"{method.name} takes a parallel beam only: use sirt, sart, cgls, tikhonov, tv, cn or pnp, or turn the series into "
            "parallel rays with tomoprior.rebin_fan"
        )


def check_parallel(geometry: Geometry, what: str) -> None:
    """Raise InputError for a geometry other than a parallel beam; ``what`` is the subject of the message."""
    if isinstance(geometry, FanGeometry):
        raise InputError(f"{what} takes a parallel beam only; turn the series into parallel rays with tomoprior.rebin_fan")


def check_projections(projections: torch.Tensor, projector: Projector) -> None:
    """Check shape, type and device, and that every value is finite.

    Parameters
    ----------
    projections
        Line integrals, shape ``projector.range_shape`` (``(n_angles, ny, nu)``), float32.

    Raises
    ------
    InputError
        For anything else; pixels that are not finite are counted in the message.
    """
    if tuple(projections.shape) != projector.range_shape:
        raise InputError(f"projections of shape {tuple(projections.shape)} do not fit a projector to {projector.range_shape}")
    if projections.dtype != torch.float32:
        raise InputError(f"projections must be float32, got {projections.dtype}")
    if projections.device.type != projector.device.type:
        raise InputError(f"the projections are on {projections.device}, the projector on {projector.device}")
    # one pass without a temporary of the data's size: a sum is finite only if every value is (or it overflows float32)
    if not torch.isfinite(projections.sum(dtype=torch.float64)):
        bad = ~torch.isfinite(projections)
        tilts = int(bad.flatten(1).any(1).sum())
        raise InputError(
            f"{int(bad.sum())} pixel(s) in {tilts} tilt(s) are NaN or infinite; repair them first (repair_pixels, --repair)"
        )


def expand_weights(weights: torch.Tensor | None, projector: Projector) -> torch.Tensor | None:
    """Return weights that broadcast over ``range_shape``.

    Parameters
    ----------
    weights
        Per tilt, ``(n_angles,)``, or per pixel, ``range_shape``; or None.

    Returns
    -------
    torch.Tensor or None
        Float32 on the projector's device: ``(n_angles, 1, 1)`` or ``range_shape``.

    Raises
    ------
    InputError
        For another shape, values that are negative or not finite, or weights that are all zero.
    """
    if weights is None:
        return None
    n, ny, nu = projector.range_shape
    if tuple(weights.shape) == (n,):
        weights = weights[:, None, None]
    elif tuple(weights.shape) != (n, ny, nu):
        raise InputError(f"weights need shape ({n},) or {(n, ny, nu)}, got {tuple(weights.shape)}")
    weights = weights.to(projector.device, torch.float32)
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise InputError("weights must be finite and not negative")
    if not bool((weights > 0).any()):
        raise InputError("all weights are zero: nothing is left to reconstruct from")
    return weights


def expand_mask(mask: torch.Tensor | None, projector: Projector) -> torch.Tensor | None:
    """Return a mask that broadcasts over ``domain_shape``.

    Parameters
    ----------
    mask
        0 and 1, the same for all slices, ``(nz, nx)``, or per voxel, ``domain_shape``; or None.

    Returns
    -------
    torch.Tensor or None
        Float32 on the projector's device: ``(nz, 1, nx)`` or ``domain_shape``.

    Raises
    ------
    InputError
        For another shape, other values, or a mask without a 1.
    """
    if mask is None:
        return None
    nz, ny, nx = projector.domain_shape
    if tuple(mask.shape) == (nz, nx):
        mask = mask[:, None, :]
    elif tuple(mask.shape) != (nz, ny, nx):
        raise InputError(f"a mask needs shape ({nz}, {nx}) or {(nz, ny, nx)}, got {tuple(mask.shape)}")
    mask = mask.to(projector.device, torch.float32)
    if not bool(((mask == 0) | (mask == 1)).all()):
        raise InputError("a mask holds 0 and 1 only")
    if not bool(mask.any()):
        raise InputError("the mask is empty: no voxel is left to reconstruct")
    return mask


def check_initial(initial: torch.Tensor | None, projector: Projector) -> None:
    """Check the shape of a starting volume, and that it is finite.

    Raises
    ------
    InputError
        For a shape other than ``projector.domain_shape``, or values that are not finite.
    """
    if initial is None:
        return
    if tuple(initial.shape) != projector.domain_shape:
        raise InputError(f"an initial volume needs shape {projector.domain_shape}, got {tuple(initial.shape)}")
    if not bool(torch.isfinite(initial).all()):
        raise InputError("the initial volume holds NaN or infinite values")


def refuse_arguments(name: str, **unsupported: object) -> None:
    """Refuse arguments that method ``name`` does not use, rather than ignore them.

    Raises
    ------
    InputError
        For the first of ``unsupported`` that is not None.
    """
    for what, value in unsupported.items():
        if value is not None:
            raise InputError(f"{name} takes no {what}")
