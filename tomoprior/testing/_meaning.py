"""What a method's arguments have to mean: the order of tilts, weights, masks, starts, and slices by themselves."""

from __future__ import annotations

import numpy as np
import torch

from tomoprior.testing._case import SLAB_TOLERANCE, Case, finite, unless_refused
from tomoprior.testing.operators import close, require

#: Two orders of the same tilts add the same numbers in another order; iterations amplify the rounding.
ORDER_TOLERANCE = 1e-3
#: A tilt that counts for nothing may leave nothing but rounding.
WEIGHT_TOLERANCE = 1e-4


def check_order(case: Case, tol: float) -> None:
    order = np.random.default_rng(0).permutation(case.projector.geometry.n_angles)
    other = case.volume(case.projections[torch.from_numpy(order).to(case.projections.device)], case.projector.subset(order))
    close(other, case.plain, tol, "another order of the tilts gives another volume")


def check_weights(case: Case) -> None:
    """Check that a weight of zero switches a tilt, or a pixel, off: whatever it holds, the result is the same."""
    n, _, nu = case.projector.range_shape
    per_tilt = torch.ones(n, device=case.projections.device)
    per_tilt[[2, n // 2]] = 0
    per_pixel = torch.ones_like(case.projections)
    per_pixel[n // 2, 1:3, nu // 3 : nu // 2] = 0
    for name, weights in (("tilt", per_tilt), ("pixel", per_pixel)):
        kept = weights.clone()
        volume = unless_refused(case, weights=weights)
        require(torch.equal(weights, kept), f"the method changes the weights per {name}")
        if volume is None:
            continue
        spoilt = torch.where(weights.reshape(n, *weights.shape[1:] or (1, 1)) > 0, case.projections, case.projections + 5)
        finite(volume, case, f"with weights per {name}")
        close(case.volume(spoilt, weights=weights), volume, WEIGHT_TOLERANCE, f"a {name} of weight zero has an influence")
        difference = (volume - case.plain).abs().max()
        require(bool(difference > 0), f"weights per {name} have no influence")


def check_mask(case: Case) -> None:
    nz, ny, nx = case.projector.domain_shape
    flat = torch.ones(nz, nx, device=case.projections.device)
    flat[:3], flat[:, :4] = 0, 0
    full = flat[:, None, :].repeat(1, ny, 1)
    for mask in (flat, full):
        kept = mask.clone()
        volume = unless_refused(case, mask=mask)
        require(torch.equal(mask, kept), "the method changes the mask")
        if volume is not None:
            finite(volume, case, "with a mask")
            require(not bool(volume[full == 0].any()), "the volume is not zero outside the mask")
            require(bool(volume[full == 1].any()), "the volume is zero inside the mask")


def check_initial(case: Case) -> None:
    shape = case.projector.domain_shape
    initial = torch.from_numpy(case.phantom.volume(shape)).to(case.projections.device)
    kept = initial.clone()
    volume = unless_refused(case, initial=initial)
    require(torch.equal(initial, kept), "the method changes the initial volume")
    if volume is not None:
        finite(volume, case, "from an initial volume")
        require(not torch.equal(volume, case.plain), "the initial volume has no influence")
        require(volume.data_ptr() != initial.data_ptr(), "the result is the initial volume's own memory")


def check_slab(case: Case) -> None:
    if case.method.couples_slices:
        return
    whole = case.plain
    projector = case.projector.with_geometry(case.projector.geometry.rows(2, 4))
    alone = case.volume(case.projections[:, 2:4].contiguous(), projector)
    close(
        alone,
        whole[:, 2:4],
        SLAB_TOLERANCE,
        "slices reconstructed alone differ from those in the slab, but couples_slices is False",
    )
