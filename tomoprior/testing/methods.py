"""Checks of a reconstruction method on a small phantom: result, settings, arguments and declared properties."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tomoprior import methods
from tomoprior.methods import Method
from tomoprior.testing import _contract as contract
from tomoprior.testing import _meaning as meaning
from tomoprior.testing._case import Case
from tomoprior.testing._meaning import ORDER_TOLERANCE


def check_method(
    method: Method | str,
    settings: Mapping[str, Any] | None = None,
    *,
    device: str = "cpu",
    center: float = 12.4,
    order_tolerance: float = ORDER_TOLERANCE,
) -> None:
    """Check the properties of a method that tomoprior needs, on hollow spheres with exact projections.

    The result has the grid's shape, is finite, float32 and similar to the truth; inputs stay unchanged; the same call gives the
    same bits; the order of the tilts does not matter; arguments that do not fit raise InputError; weights, mask and initial
    volume are used or refused; progress is reported, and an exception from it propagates; slices are independent where
    ``couples_slices`` is false, with the settings that a pilot would choose; settings are strict and described.

    Parameters
    ----------
    method
        The method or its name.
    settings
        Settings other than the defaults: few iterations, small networks. The method runs some twenty times on 12 x 6 x 24
        voxels and 17 tilts.
    device
        Device. Equal bits are required on the CPU only.
    center
        Rotation axis. Use 12, the centre of the detector, only for a method that accepts no other.
    order_tolerance
        Relative difference allowed between the volumes from two orders of the tilts: larger for a method that uses the tilts
        one after the other.

    Raises
    ------
    AssertionError
        With the fault, in one line.

    Examples
    --------
    >>> import tomoprior
    >>> tomoprior.testing.check_method("cgls", {"num_iter": 5})
    """
    checked = methods.get(method) if isinstance(method, str) else method
    contract.check_description(checked)
    contract.check_settings(checked)
    values = checked.Settings.parse(dict(settings or {}))
    case = Case.create(checked, values, device, center)
    contract.check_estimates(case)
    contract.check_result(case)
    contract.check_repeats(case)
    contract.check_progress(case)
    contract.check_refusals(case)
    case = case.with_closed_settings()  # what tilts choose depends on the tilts, and on all slices together
    meaning.check_order(case, order_tolerance)
    meaning.check_weights(case)
    meaning.check_mask(case)
    meaning.check_initial(case)
    meaning.check_slab(case)
    contract.check_small(case)
