"""All measures of one volume in one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from numpy.typing import ArrayLike

from tomoprior.metrics._arrays import Mode, TooSmallError, check_mode, check_pair_3d
from tomoprior.metrics.fourier import directional_fsc, fsc
from tomoprior.metrics.information import vif
from tomoprior.metrics.matching import Match, match_checked
from tomoprior.metrics.voxel import psnr, rmse, ssim


def evaluate(
    volume: ArrayLike,
    reference: ArrayLike,
    *,
    angles: ArrayLike | None = None,
    mode: Mode = "standard",
    match: Match | None = None,
    region: Literal["planes", "wedge"] = "planes",
    below: float = 0.25,
) -> dict[str, float]:
    """Return all measures of a volume against a reference without error.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.
    angles
        Tilt angles in radians, shape ``(n_angles,)``: adds the correlation in measured directions and in the others.
    mode
        ``standard``, or ``paper`` as in Van Veen et al. 2024, see ``tomoprior.metrics.paper``. It concerns ``psnr``, ``ssim``
        and ``vif``; ``rmse`` is then that of the volume with the reference's mean and standard deviation.
    match
        How scale and offset are fitted to the reference first, see ``match_scale``; by default they are not. The Fourier
        shell correlation does not depend on it (but for a negative scale).
    region
        Which directions count as measured, the ``mode`` of ``measured_region``.
    below
        Frequency in cycles per voxel up to which the correlation is averaged.

    Returns
    -------
    scores
        ``rmse`` in the reference's unit, ``psnr`` in dB, ``ssim``, ``vif``; ``fsc_mean``, the mean of the Fourier shell
        correlation up to ``below``, and ``fsc_crossing``, the frequency in cycles per voxel up to which it stays above 0.5
        (``FSC.crossing``). With ``angles`` also ``fsc_present_mean``, ``fsc_present_crossing``, ``fsc_missing_mean`` and
        ``fsc_missing_crossing``. NaN for a missing value: a measure whose window is larger than the volume, a region without
        Fourier voxels.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, a constant reference, or ``match`` in paper mode, which fixes it.
    """
    check_mode(mode, match=match)
    a, b = check_pair_3d(volume, reference)
    a = match_checked(a, b, "moments" if mode == "paper" else match or "none")

    def value(measure: Callable[..., float]) -> float:
        try:
            return measure(a, b, mode=mode)
        except TooSmallError:
            return float("nan")

    scores = {"rmse": rmse(a, b), "psnr": value(psnr), "ssim": value(ssim), "vif": value(vif)}
    curves = {"fsc": fsc(a, b)}
    if angles is not None:
        curves |= {f"fsc_{name}": curve for name, curve in directional_fsc(a, b, angles, mode=region).items()}
    for name, curve in curves.items():
        scores |= {f"{name}_mean": curve.mean(below), f"{name}_crossing": curve.crossing(0.5)}
    return scores
