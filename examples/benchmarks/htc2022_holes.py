"""From a scan to the projections of the holes of a disc: beam hardening, the edge of the disc, the direction of the range."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from htc2022_data import Scan, read_mask, read_scan
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

import tomoprior
from tomoprior.series.support import Disc, fit_disc

#: Degree of the polynomial from measured values to path lengths.
DEGREE = 3
#: Path length in millimetres at which the edge of the disc is read off: well above the scattered radiation beside it.
EDGE = 5.0
#: Tilts of a training scan that the fit of the polynomial uses: every so many.
SPARSE = 20


def fit_hardening(training: Path) -> NDArray[np.float64]:
    """Return the coefficients of ``path = sum_k c_k value^(k + 1)``, by least squares over the training discs.

    A polychromatic beam is absorbed less and less along its path. The path lengths, in millimetres, are the projections of
    the true masks.
    """
    values, paths = [], []
    for file in sorted(training.glob("*_full.mat")):
        scan = read_scan(file)
        truth = read_mask(file.with_name(f"{file.stem}_recon_fbp_seg.mat"))
        scan = scan.select(slice(None, None, SPARSE)).binned(2)
        geometry = scan.geometry(len(truth))
        lengths = tomoprior.Projector(geometry, "cpu")(truth[:, None].astype(np.float32))[:, 0]
        values.append(scan.sinogram.ravel())
        paths.append(lengths.ravel() * scan.width / len(truth))
    if not values:
        raise SystemExit(f"{training} has no *_full.mat: the training scans are needed for the correction of beam hardening")
    return np.linalg.lstsq(powers(np.concatenate(values)), np.concatenate(paths), rcond=None)[0]


def powers(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the powers of the polynomial; there is no constant, since air has no path."""
    return values[..., None] ** np.arange(1, DEGREE + 1)


@dataclass(frozen=True)
class Holes:
    """Projections of the holes of a disc in voxel units ``(n_angles, nu)``, their geometry, and the disc.

    The grid is turned so that the middle of the range, ``middle`` degrees, is 0: then z is the direction measured
    worst.
    """

    projections: NDArray[np.float32]
    geometry: tomoprior.FanGeometry
    disc: Disc
    middle: float

    def distances(self) -> NDArray[np.float64]:
        """Return the distances of the voxels from the edge of the disc in voxels, ``(nz, nx)``, negative inside."""
        size = self.geometry.shape[0]
        at = np.arange(size) - (size - 1) / 2
        return self.disc.distances(at[None, :], at[:, None])

    def turn_back(self, image: NDArray[np.float32], size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Return the image as the scanner sees it, on ``size`` x ``size`` pixels, and the pixels inside the disc."""
        n, turn = len(image), np.deg2rad(self.middle)
        at = (np.arange(size) - (size - 1) / 2) * n / size
        z, x = np.meshgrid(at, at, indexing="ij")
        x, z = x * np.cos(turn) - z * np.sin(turn), x * np.sin(turn) + z * np.cos(turn)
        places = [z + (n - 1) / 2, x + (n - 1) / 2]
        return map_coordinates(image.astype(np.float64), places, order=1, mode="constant"), self.disc.distances(x, z) <= 0


def find_holes(scan: Scan, hardening: NDArray[np.float64], size: int) -> Holes:
    """Return the projections of the full disc minus the measured ones.

    The disc is known to be round, so its edge is fitted in the projections.
    """
    middle = float(scan.degrees[[0, -1]].mean())
    scan = scan.binned(max(1, round(scan.mask_size / size)))
    geometry = scan.geometry(size, middle)
    voxel = scan.width / size  # millimetres
    paths = powers(scan.sinogram) @ hardening / voxel
    disc = fit_disc(paths, geometry, EDGE / voxel)
    return Holes((disc.project(geometry) - paths).astype(np.float32), geometry, disc, middle)
