"""Scans and masks of the Helsinki Tomography Challenge 2022, and the picture of a benchmark's results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat

from tomoprior import FanGeometry

#: Pixels of the challenge's detector, and of an edge of its masks, whose pixels have the effective size of the detector's.
N_PIXELS, MASK_SIZE = 560, 512


@dataclass(frozen=True)
class Scan:
    """A fan-beam scan: line integrals ``(n_angles, n_pixels)`` without unit, angles in degrees, lengths in millimetres."""

    sinogram: NDArray[np.float64]
    degrees: NDArray[np.float64]
    source_axis: float
    axis_detector: float
    pixel: float
    width: float  #: edge of the square that the masks cover
    mask_size: int  #: pixels along that edge

    def select(self, views: slice) -> Scan:
        """Return a scan of some views."""
        return replace(self, sinogram=self.sinogram[views], degrees=self.degrees[views])

    def binned(self, factor: int) -> Scan:
        """Return means over ``factor`` pixels of the detector."""
        n = self.sinogram.shape[1] // factor
        sinogram = self.sinogram[:, : n * factor].reshape(-1, n, factor).mean(-1)
        return replace(self, sinogram=sinogram, pixel=self.pixel * factor)

    def geometry(self, size: int, middle: float = 0.0) -> FanGeometry:
        """Return the geometry of one slice of ``size`` x ``size`` voxels, turned so that ``middle`` degrees become 0."""
        voxel = self.width / size
        degrees = (self.degrees - middle + 180) % 360 - 180
        return FanGeometry(
            np.deg2rad(degrees),
            (size, 1, size),
            (1, self.sinogram.shape[1]),
            voxel_size=voxel,
            unit="millimeter",
            source_distance=self.source_axis / voxel,
            detector_distance=self.axis_detector / voxel,
            pixel_size=self.pixel / voxel,
        )


def read_scan(path: Path) -> Scan:
    """Return the scan in a MATLAB file of the challenge; its only variable is ``CtDataFull`` or ``CtDataLimited``."""
    data = _read_variable(path)
    p = data.parameters
    mask_size = MASK_SIZE * data.sinogram.shape[1] // N_PIXELS
    return Scan(
        np.asarray(data.sinogram, np.float64), np.asarray(p.angles, np.float64), float(p.distanceSourceOrigin),
        float(p.distanceSourceDetector - p.distanceSourceOrigin), float(p.pixelSizePost),
        float(p.effectivePixelSizePost) * mask_size, mask_size,
    )  # fmt: skip


def read_mask(path: Path) -> NDArray[np.bool_]:
    """Return a segmentation, True where there is material."""
    return np.asarray(_read_variable(path)) > 0


def read_known_masks(scan: Path) -> dict[str, NDArray[np.bool_]]:
    """Return the truth and the organisers' result beside a ``*_limited.mat``, where they exist."""
    ends = {"truth": "", "fbp": "_limited"}
    paths = {key: scan.with_name(f"{scan.stem.removesuffix('_limited')}_recon_fbp_seg{end}.mat") for key, end in ends.items()}
    return {key: read_mask(path) for key, path in paths.items() if path.exists()}


def _read_variable(path: Path) -> Any:
    found = loadmat(path, squeeze_me=True, struct_as_record=False)
    return next(value for name, value in found.items() if not name.startswith("__"))


def draw(pictures: Sequence[tuple[str, Mapping[str, NDArray[np.bool_]], float]], method: str, path: Path) -> None:
    """Draw a column for each phantom: the truth, the organisers' result and the result of this benchmark."""
    names = {"truth": "truth", "fbp": "organisers' FBP", "result": method}
    figure, axes = plt.subplots(3, len(pictures), figsize=(2.2 * len(pictures), 6.9), squeeze=False)
    for column, (title, masks, score) in zip(axes.T, pictures, strict=True):
        column[0].set_title(title, fontsize=8)
        for axis, (key, name) in zip(column, names.items(), strict=True):
            axis.axis("off")
            if key in masks:
                axis.imshow(masks[key], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
                axis.text(4, 4, name if key != "result" else f"{name}: {score:.3f}", color="white", va="top", fontsize=7)
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=80)
    plt.close(figure)
