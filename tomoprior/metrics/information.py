"""Visual information fidelity: the share of the visible information in the reference that the volume keeps."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from tomoprior.errors import InputError
from tomoprior.metrics import paper
from tomoprior.metrics._arrays import Mode, TooSmallError, check_mode, check_pair_3d, resolve_data_range
from tomoprior.metrics.matching import Match, match_checked

_SMALLEST = 41  # pixels along a side: below, nothing is left of the fourth scale


def vif(
    volume: ArrayLike,
    reference: ArrayLike,
    *,
    mode: Mode = "standard",
    match: Match | None = None,
    data_range: float | None = None,
    axis: Literal[0, 1, 2] | None = None,
) -> float:
    """Return the visual information fidelity in the pixel domain, the mean over slices.

    Sheikh and Bovik, IEEE Trans. Image Process. 15 (2006) 430, as torchmetrics computes it: 2-D, four scales, windows of 17, 9,
    5 and 3 pixels. 1 for volumes that agree, 0 for no information, above 1 for a volume with more contrast than the
    reference. The variance of the visual noise is 2 on grey values from 0 to 255, so that VIF depends on the scale of the
    values: both volumes are multiplied by ``255 / data_range``.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch. About 2 s and 0.6 GB for a slice of 256 x 1024 on one core.
    mode
        ``standard``, or ``paper``: as in Van Veen et al. 2024, see ``tomoprior.metrics.paper``. The two do not compare.
    match
        How scale and offset are fitted to the reference first, see ``match_scale``; by default they are not.
    data_range
        The range of values that becomes 255, in the volumes' unit; by default maximum minus minimum of the whole reference.
    axis
        The axis along which slices are taken: by default 1, y, for x-z slices, in which the missing wedge shows.

    Returns
    -------
    vif
        Mean over the slices on which the reference is not flat; a flat slice has no information to keep.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, a constant reference, slices smaller than 41 x 41, or an option that
        paper mode fixes itself.
    """
    check_mode(mode, match=match, data_range=data_range, axis=axis)
    if mode == "paper":
        return paper.vif(volume, reference)
    import torch
    from torchmetrics.functional.image import visual_information_fidelity  # takes as long to import as torch itself

    a, b = check_pair_3d(volume, reference)
    axis = 1 if axis is None else axis
    if axis not in (0, 1, 2):
        raise InputError(f"axis must be 0, 1 or 2, got {axis!r}")
    height, width = (n for i, n in enumerate(a.shape) if i != axis)
    if min(height, width) < _SMALLEST:
        raise TooSmallError(
            f"VIF needs slices of at least {_SMALLEST} x {_SMALLEST} voxels; along axis {axis} they are {height} x {width}"
        )
    scale = 255 / resolve_data_range(b, data_range)
    images, truths = (
        # (slices, 1, height, width); VIF knows no offset, and without the mean its variances keep their digits
        torch.from_numpy(np.ascontiguousarray(np.moveaxis((v - v.mean()) * scale, axis, 0)))[:, None]
        for v in (match_checked(a, b, match or "none"), b)
    )
    # one slice at a time: the library unfolds its windows, 289 times the slice
    slices = zip(images, truths, strict=True)
    values = [float(visual_information_fidelity(image[None], truth[None])) for image, truth in slices]
    known = np.asarray(values)[np.isfinite(values)]
    if not known.size:
        raise InputError(f"the reference is constant on every slice along axis {axis}")
    return float(known.mean())
