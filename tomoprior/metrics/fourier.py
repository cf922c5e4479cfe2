"""Agreement of two volumes frequency by frequency: Fourier shell correlation, also by what was measured and what was not.

A single-axis tilt series measures, by the central-slice theorem, planes through the origin of Fourier space that contain the
tilt axis. Nothing was measured between them or in the missing wedge: there the content of a volume was inferred.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft, ndimage
from scipy.signal.windows import tukey

from tomoprior.errors import InputError
from tomoprior.geometry import MAX_ANGLE
from tomoprior.metrics._arrays import Floats, check_pair_3d, to_numbers
from tomoprior.metrics.curve import FSC

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
    beyond = np.sqrt(sum(k**2 for k in _frequencies(volume.shape))) >= start
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
    shell = np.rint(np.sqrt(sum(k**2 for k in _frequencies(a.shape))) * size).astype(np.intp)
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


def measured_region(
    shape: tuple[int, ...], angles: ArrayLike, *, mode: Literal["planes", "wedge"] = "planes"
) -> NDArray[np.bool_]:
    """Return which voxels of ``rfftn`` of a volume of ``shape`` a tilt series at ``angles`` (radians) measured.

    Parameters
    ----------
    shape
        Shape of the volume, ``(nz, ny, nx)``.
    angles
        Tilt angles in radians, shape ``(n_angles,)``, in any order.
    mode
        ``planes``: those within half a Fourier voxel (of the longest axis) of a tilt's plane, so that the gaps between tilts
        at high frequencies count as missing. ``wedge``: all directions between the smallest and the largest angle.

    Returns
    -------
    NDArray
        Boolean, shape ``(nz, ny, nx // 2 + 1)``.

    Raises
    ------
    InputError
        For angles that are not finite or look like degrees, or an unknown mode.
    """
    theta = np.asarray(angles, np.float64)
    if theta.ndim != 1 or theta.size == 0 or not np.all(np.isfinite(theta)):
        raise InputError("angles need shape (n_angles,) with at least one, all finite")
    if np.abs(theta).max() > MAX_ANGLE:
        raise InputError(f"an angle of {np.abs(theta).max():.6g} radians is beyond 4 pi: are these degrees? Use numpy.deg2rad")
    kz, ky, kx = _frequencies(shape)
    # u = X cos - Z sin: a tilt's plane holds (kx, kz) along (cos, -sin), and its normal is (sin, cos)
    if mode == "planes":
        out = np.zeros((shape[0], 1, shape[2] // 2 + 1), bool)
        for t in theta:
            out |= np.abs(kx * np.sin(t) + kz * np.cos(t)) * max(shape) <= 0.5
    elif mode == "wedge":
        direction = np.mod(np.arctan2(-kz, kx) - theta.min(), np.pi)
        within = np.ptp(theta) + 1e-9
        out = (direction <= within) | (direction >= np.pi - 1e-9) | ((kx == 0) & (kz == 0))
    else:
        raise InputError(f"mode must be planes or wedge, got {mode!r}")
    return np.array(np.broadcast_to(out, (shape[0], ky.shape[1], shape[2] // 2 + 1)))


def split_measured(
    volume: ArrayLike, angles: ArrayLike, *, mode: Literal["planes", "wedge"] = "wedge"
) -> tuple[Floats, Floats]:
    """Split a volume into the part that a tilt series at ``angles`` measured and the rest; the two add up to the volume.

    Parameters
    ----------
    volume
        Shape ``(nz, ny, nx)``, NumPy or torch.
    angles, mode
        As for ``measured_region``. The mean counts as measured.

    Returns
    -------
    present, missing
        Real, of the volume's shape.

    Raises
    ------
    InputError
        For a volume without three axes, values that are not finite, or angles that ``measured_region`` refuses.
    """
    a = to_numbers(volume, "volume")
    if a.ndim != 3:
        raise InputError(f"volumes need three axes (z, y, x), got shape {a.shape}")
    spectrum = fft.rfftn(a)
    spectrum[~measured_region(a.shape, angles, mode=mode)] = 0
    present: Floats = fft.irfftn(spectrum, a.shape)
    return present, a - present


def rfft_weights(nx: int) -> Floats:
    """Return the weight of each value of ``rfft`` of ``nx``: 2 with its conjugate, 1 for kx = 0 and Nyquist."""
    twice = np.full(nx // 2 + 1, 2.0)
    twice[0] = 1.0
    if nx % 2 == 0:
        twice[-1] = 1.0
    return twice


def _frequencies(shape: tuple[int, ...]) -> tuple[Floats, Floats, Floats]:
    """Return kz, ky, kx of ``rfftn`` in cycles per voxel, in shapes that broadcast."""
    kz, ky, kx = (np.asarray(k, np.float64) for k in (*map(np.fft.fftfreq, shape[:2]), np.fft.rfftfreq(shape[2])))
    return kz[:, None, None], ky[None, :, None], kx[None, None, :]
