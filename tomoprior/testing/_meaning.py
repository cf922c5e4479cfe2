"""Checks of the meaning of a method's arguments: order of tilts, weights, masks, initial volumes, and single slices."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.testing._assertions import require, require_close
from tomoprior.testing._case import SLAB_TOLERANCE, Case, require_finite, run_unless_refused

#: Relative difference between two orders of the tilts: sums round differently, and iterations amplify that.
ORDER_TOLERANCE = 1e-3
#: Relative difference that a tilt of weight zero may cause, by rounding.
WEIGHT_TOLERANCE = 1e-4


def check_order(case: Case, tol: float) -> None:
    """Check that the order of the tilts does not matter."""
    order = np.random.default_rng(0).permutation(case.projector.geometry.n_angles)
    volume = case.volume(case.projections[torch.from_numpy(order).to(case.projections.device)], case.projector.subset(order))
    require_close(volume, case.plain, tol, "another order of the tilts gives another volume")


def check_weights(case: Case) -> None:
    """Check that a tilt or pixel of weight zero has no influence, for any values."""
    n, _, nu = case.projector.range_shape
    per_tilt = torch.ones(n, device=case.projections.device)
    per_tilt[[2, n // 2]] = 0
    per_pixel = torch.ones_like(case.projections)
    per_pixel[n // 2, 1:3, nu // 3 : nu // 2] = 0
    for name, weights in (("tilt", per_tilt), ("pixel", per_pixel)):
        before = weights.clone()
        volume = run_unless_refused(case, weights=weights)
        require(torch.equal(weights, before), f"the method changes the weights per {name}")
        if volume is None:
            continue
        damaged = torch.where(weights.reshape(n, *weights.shape[1:] or (1, 1)) > 0, case.projections, case.projections + 5)
        require_finite(volume, case, f"with weights per {name}")
        require_close(
            case.volume(damaged, weights=weights), volume, WEIGHT_TOLERANCE, f"a {name} of weight zero has an influence"
        )
        difference = (volume - case.plain).abs().max()
        require(bool(difference > 0), f"weights per {name} have no influence")


def check_mask(case: Case) -> None:
    """Check that the volume is zero outside a mask, of shape ``(nz, nx)`` and ``(nz, ny, nx)``."""
    nz, ny, nx = case.projector.domain_shape
    flat = torch.ones(nz, nx, device=case.projections.device)
    flat[:3], flat[:, :4] = 0, 0
    full = flat[:, None, :].repeat(1, ny, 1)
    for mask in (flat, full):
        before = mask.clone()
        volume = run_unless_refused(case, mask=mask)
        require(torch.equal(mask, before), "the method changes the mask")
        if volume is not None:
            require_finite(volume, case, "with a mask")
            require(not bool(volume[full == 0].any()), "the volume is not zero outside the mask")
            require(bool(volume[full == 1].any()), "the volume is zero inside the mask")


def check_initial(case: Case) -> None:
    """Check that an initial volume has an influence and stays unchanged."""
    shape = case.projector.domain_shape
    initial = torch.from_numpy(case.phantom.volume(shape)).to(case.projections.device)
    before = initial.clone()
    volume = run_unless_refused(case, initial=initial)
    require(torch.equal(initial, before), "the method changes the initial volume")
    if volume is not None:
        require_finite(volume, case, "from an initial volume")
        require(not torch.equal(volume, case.plain), "the initial volume has no influence")
        require(volume.data_ptr() != initial.data_ptr(), "the result shares the memory of the initial volume")


def check_slab(case: Case) -> None:
    """Check that slices alone equal the same slices in a slab, unless the method couples slices."""
    if case.method.couples_slices:
        return
    projector = case.projector.with_geometry(case.projector.geometry.rows(2, 4))
    alone = case.volume(case.projections[:, 2:4].contiguous(), projector)
    require_close(
        alone,
        case.plain[:, 2:4],
        SLAB_TOLERANCE,
        "slices reconstructed alone differ from those in the slab, but couples_slices is False",
    )
