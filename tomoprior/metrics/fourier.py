"""Agreement of two volumes frequency by frequency: Fourier shell correlation, of all directions or of a region."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage
from scipy.signal.windows import tukey

from tomoprior.errors import InputError
from tomoprior.metrics._arrays import Floats, check_pair_3d, to_numbers
from tomoprior.metrics.curve import FSC
from tomoprior.metrics.regions import frequencies, measured_region, rfft_weights

#: Part of each axis over which the soft box fades out, both ends together.
FADE = 0.5
#: Phases are randomised beyond the frequency at which the correlation first falls below this.
RANDOMISED_BELOW = 0.8
#: Randomised pairs whose correlations are averaged.
RANDOMISED_PAIRS = 4

#: A soft mask, shape ``(nz, ny, nx)``; ``box``: a box that fades out towards its faces; None: no mask.
Mask = NDArray[Any] | Literal["box"] | None


def fsc(volume: ArrayLike, reference: ArrayLike, *, region: NDArray[np.bool_] | None = None, mask: Mask = "box") -> FSC:
    """Return the Fourier shell correlation of two volumes.

    ``Re sum F1 conj(F2) / sqrt(sum |F1|^2 sum |F2|^2)`` over shells one Fourier voxel of the longest axis thick (Harauz and van
    Heel, Optik 73 (1986) 146). Shells are spheres in cycles per voxel, so a volume need not be a cube. The mean is left out.

    Parameters
    ----------
    volume, reference
        Shape ``(nz, ny, nx)``, NumPy or torch.
    region
        The Fourier voxels that count, from ``measured_region``: shape of ``rfftn``.
    mask
        Both volumes are multiplied by it after their mean inside it is subtracted. The default ``box`` fades out over a quarter
        of each axis at either end: without it the jump between opposite faces correlates in all shells. None uses the values
        as they are. A mask must be soft: a sharp one correlates too.

    Returns
    -------
    FSC
        One correlation per shell.

    Raises
    ------
    InputError
        For shapes that differ, values that are not finite, a volume of a single voxel, or a mask of another shape.

    Examples
    --------
    >>> import numpy as np
    >>> volume = np.random.default_rng(0).normal(size=(16, 16, 16))
    >>> tomoprior.metrics.fsc(volume, volume).crossing()
    0.5
    """
    a, b = check_pair_3d(volume, reference)
    return _correlate(_apply_mask(a, mask), _apply_mask(b, mask), region)


def fsc_of_halves(
    first: ArrayLike,
    second: ArrayLike,
    *,
    region: NDArray[np.bool_] | None = None,
    mask: Mask = "box",
    seed: int = 0,
) -> FSC:
    """Return the Fourier shell correlation of two half-data volumes without the correlation that their mask causes.

    Both volumes get random phases beyond the frequency at which they agree well, and the correlation that remains is the
    mask's: ``(FSC - FSC_random) / (1 - FSC_random)`` (Chen et al., Ultramicroscopy 135 (2013) 24). Volumes that are already
    zero outside a region need a soft mask inside it: ``soft_mask``.

    Parameters
    ----------
    first, second
        Reconstructions from two halves of the data, shape ``(nz, ny, nx)``.
    region, mask
        As for ``fsc``.
    seed
        Seed of the random phases.

    Returns
    -------
    FSC
        The corrected correlation, one value per shell.

    Raises
    ------
    InputError
        As for ``fsc``.
    """
    a, b = check_pair_3d(first, second)
    curve = fsc(a, b, region=region, mask=mask)
    with np.errstate(invalid="ignore"):
        below = np.flatnonzero(_correlate(a, b, region).correlation < RANDOMISED_BELOW)
    if len(below) == 0:
        return curve
    start = float(curve.frequency[below[0]])
    rng = np.random.default_rng(seed)
    random = np.mean(
        [
            fsc(_randomise_phases(a, start, rng), _randomise_phases(b, start, rng), region=region, mask=mask).correlation
            for _ in range(RANDOMISED_PAIRS)
        ],
        axis=0,
    )
    # the first two shells beyond the start hold coherent power that the mask spreads
    changed = curve.frequency > start + 2.5 / max(a.shape)
    random = np.where(changed, np.clip(random, 0, 0.99), 0)
    return FSC(curve.frequency, (curve.correlation - random) / (1 - random), curve.count)


def directional_fsc(
    volume: ArrayLike,
    reference: ArrayLike,
    angles: ArrayLike,
    *,
    mode: Literal["planes", "wedge"] = "planes",
    mask: Mask = "box",
) -> dict[str, FSC]:
    """Return the FSC of the measured directions and of the others: ``{"present": FSC, "missing": FSC}``.

    Van Veen et al., IJMS 25 (2024) 5473, section 4.4.

    Parameters
    ----------
    volume, reference, mask
        As for ``fsc``.
    angles, mode
        As for ``measured_region``.

    Returns
    -------
    dict
        ``present`` and ``missing``, an ``FSC`` each.

    Raises
    ------
    InputError
        As for ``fsc`` and ``measured_region``.
    """
    a, b = check_pair_3d(volume, reference)
    present = measured_region(a.shape, angles, mode=mode)
    a, b = (_apply_mask(v, mask) for v in (a, b))
    return {"present": _correlate(a, b, present), "missing": _correlate(a, b, ~present)}


def soft_mask(inside: ArrayLike, width: float = 4.0) -> Floats:
    """Return a mask that is 0 outside, rises as a cosine over ``width`` voxels inside the boundary, and is 1 beyond.

    Parameters
    ----------
    inside
        Not zero inside, shape ``(nz, ny, nx)``.
    width
        Width of the rise in voxels.

    Returns
    -------
    NDArray
        Values from 0 to 1, shape of ``inside``, float64.
    """
    region = np.asarray(inside) != 0
    if region.all():
        return np.ones(region.shape)
    depth = ndimage.distance_transform_edt(region)
    rise = np.clip((depth - 0.5) / width, 0, 1)
    return np.asarray(0.5 - 0.5 * np.cos(np.pi * rise), np.float64)


def fade_out(volume: Floats, part: float = FADE) -> Floats:
    """Return the volume times a window that fades out over ``part`` of each axis, both ends together; 1 in the middle."""
    for axis, n in enumerate(volume.shape):
        if n > 4:
            window = tukey(n + 2, part)[1:-1]
            volume = volume * window.reshape([-1 if i == axis else 1 for i in range(volume.ndim)])
    return volume


def _apply_mask(volume: Floats, mask: Mask) -> Floats:
    if mask is None:
        return volume
    soft = fade_out(np.ones(volume.shape)) if isinstance(mask, str) else to_numbers(mask, "mask")
    if isinstance(mask, str) and mask != "box":
        raise InputError(f"mask must be box, None or an array, got {mask!r}")
    if soft.shape != volume.shape:
        raise InputError(f"the mask has shape {soft.shape}, the volumes {volume.shape}")
    if not soft.any():
        raise InputError("the mask is empty")
    return soft * (volume - np.sum(soft * volume) / np.sum(soft))


def _randomise_phases(volume: Floats, start: float, rng: np.random.Generator) -> Floats:
    """Return the volume with random phases at frequencies of at least ``start`` cycles per voxel."""
    spectrum = fft.rfftn(volume)
    noise = fft.rfftn(rng.normal(size=volume.shape))  # of a real volume, so that its phases have the right symmetry
    beyond = np.sqrt(sum(k**2 for k in frequencies(volume.shape))) >= start
    spectrum = np.where(beyond, np.abs(spectrum) * noise / np.maximum(np.abs(noise), 1e-300), spectrum)
    random: Floats = fft.irfftn(spectrum, volume.shape)
    return random


def _correlate(a: Floats, b: Floats, region: NDArray[np.bool_] | None) -> FSC:
    size = max(a.shape)
    if size < 2:
        raise InputError("a single voxel has no frequencies")
    f1, f2 = (fft.rfftn(v) for v in (a, b))
    if region is not None and region.shape != f1.shape:
        raise InputError(f"the region needs shape {f1.shape}, got {region.shape}")
    shell = np.rint(np.sqrt(sum(k**2 for k in frequencies(a.shape))) * size).astype(np.intp)
    weight = np.broadcast_to(rfft_weights(a.shape[-1]), f1.shape)
    if region is not None:
        weight = weight * region
    shells = size // 2

    def sums(values: Floats) -> Floats:
        return np.bincount(shell.ravel(), (values * weight).ravel(), shells + 1)[1 : shells + 1].astype(np.float64)

    cross = sums((f1 * f2.conj()).real)
    power = np.sqrt(sums(np.abs(f1) ** 2) * sums(np.abs(f2) ** 2))
    correlation = np.divide(cross, power, out=np.full(shells, np.nan), where=power > 0)
    return FSC(np.arange(1, shells + 1) / size, correlation, sums(np.ones(f1.shape)))
