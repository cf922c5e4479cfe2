"""Filter images for the alignment: bin them, subtract their background, and keep one band of frequencies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from tomoprior.series.binning import block_mean

#: ``isolated``: the specimen ends within the field of view on both sides of the axis. ``section``: it fills the field.
Specimen = Literal["isolated", "section"]

#: Standard deviation in pixels of the isotropic low-pass. Without it, the corners of the square of frequencies, which turn
#: with the images, pull the angle of the tilt axis by up to a tenth of its value.
LOWPASS = 1.0
#: Standard deviation in pixels of the Gaussian that is subtracted from the images of a section.
HIGHPASS = 3.0
#: Width of a border, as a share of the image's width, and the share of the contrast below which a border counts as empty.
BORDER, EMPTY = 1 / 16, 0.2
#: Share of the tilts that must have empty borders.
MOST = 0.7


@dataclass(frozen=True)
class Level:
    """Images at one binning.

    Attributes
    ----------
    images
        Raw images after binning and filtering, float32, shape ``(n, rows, columns)``.
    bin
        Factor of the binning.
    margin
        Pixels at the border of an image that the fit ignores, because the filters change them.
    specimen
        Selects the filters and the bounds of the volume.
    """

    images: NDArray[np.float32]
    bin: int
    margin: float
    specimen: Specimen


def bin_images(projections: Any, factor: int) -> NDArray[np.float32]:
    """Return all images binned by ``factor``, float32; one image at a time is read."""
    n = projections.shape[0]
    return np.stack([block_mean(np.asarray(projections[i]), (factor, factor)) for i in range(n)])


def guess_specimen(images: NDArray[np.float32], axis: int) -> Specimen:
    """Return ``isolated`` if the images end in an empty background on both sides of the tilt axis.

    Parameters
    ----------
    images
        Binned images, shape ``(n, rows, columns)``.
    axis
        Axis of the images across the tilt axis: 1 or 2.
    """
    profiles = np.moveaxis(images, axis, -1).mean(axis=1)
    width = max(1, round(BORDER * profiles.shape[1]))
    low, high = np.percentile(profiles, [5, 98], axis=1)
    borders = np.stack([profiles[:, :width].mean(axis=1), profiles[:, -width:].mean(axis=1)])
    empty = (borders - low) < EMPTY * np.maximum(high - low, 1e-30)
    return "isolated" if np.mean(empty.all(axis=0)) >= MOST else "section"


def make_level(images: NDArray[np.float32], bin: int, specimen: Specimen, axis: int) -> Level:
    """Return binned images with the filters of a specimen.

    Parameters
    ----------
    images
        Binned raw images, shape ``(n, rows, columns)``.
    bin
        Factor of their binning.
    specimen
        ``isolated``: the brightness of the borders is subtracted. ``section``: low frequencies are subtracted, by an isotropic
        filter, which all tilts share with the volume.
    axis
        Axis of the images across the tilt axis: 1 or 2.
    """
    smooth = np.stack([gaussian_filter(image, LOWPASS, mode="nearest") for image in images])
    if specimen == "section":
        band = np.stack([image - gaussian_filter(image, HIGHPASS, mode="nearest") for image in smooth])
        return Level(band, bin, min(HIGHPASS, min(images.shape[1:]) / 8), specimen)
    width = max(1, round(BORDER * images.shape[axis]))
    turned = np.moveaxis(smooth, axis, -1)
    border = np.concatenate([turned[..., :width], turned[..., -width:]], axis=-1)
    margin = min(2 * LOWPASS, min(images.shape[1:]) / 16)
    return Level(smooth - np.median(border, axis=(1, 2))[:, None, None], bin, margin, specimen)
