"""Series with known shifts and axis, and the real series with what is known of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import h5py
import numpy as np
from limited_angle_cases import load_tissue
from numpy.typing import NDArray
from scipy.ndimage import affine_transform, rotate
from scipy.ndimage import shift as move
from skimage.registration import phase_cross_correlation

import tomoprior
from tomoprior import Geometry, TiltSeries
from tomoprior.alignment import Alignment
from tomoprior.alignment.matching import remove_gauge
from tomoprior.alignment.transforms import image_matrices
from tomoprior.methods.solving.strength import parabola_minimum
from tomoprior.simulate import tilt_series

SHAPES = ((48, 64, 128), (32, 96, 96))
ANGLES = np.deg2rad(np.arange(-60, 61, 2.0))
#: Errors of the microscope that only shifts, axis and noise take the place of.
NO_ERRORS = {"angle_error": 0.0, "drift": 0.0, "magnification_error": 0.0, "outliers": 0.0}
#: The same without noise, brightness, blur and saturation.
NOISE_FREE = {
    **NO_ERRORS,
    "dose": 1e10,
    "read_noise": 0.0,
    "gain_error": 0.0,
    "offset_error": 0.0,
    "blur": 0.0,
    "saturation": 0.0,
}


@dataclass(frozen=True)
class Case:
    """A raw series, its true alignment (shifts in the gauge of an estimate) and the true volume."""

    series: TiltSeries
    true: Alignment
    truth: NDArray[np.float32]

    @property
    def angles(self) -> NDArray[np.float64]:
        """Tilt angles, radians."""
        return self.series.geometry.angles

    def rms_error(self, shifts: NDArray[np.float64]) -> float:
        """Return the root mean square of the error of a shift after the gauge, in pixels, the worse of y and u."""
        error = remove_gauge(shifts - self.true.shifts, self.angles, np.ones(len(shifts)))
        return float(np.sqrt(np.mean(error**2, axis=0)).max())

    def axis_error(self, found: Alignment) -> float:
        """Return the error of the angle of the axis, degrees."""
        return float(abs(np.rad2deg(found.axis_angle - self.true.axis_angle)))


def make_case(
    phantom: str, shape: tuple[int, int, int], seed: int, size: float = 3.0, supersample: int = 2, data: Path | None = None
) -> Case:
    """Return a phantom's or the tissue's images, turned by up to 5 degrees, shifted by ``size`` pixels r.m.s., with SNR 1."""
    rng = np.random.default_rng(1000 + seed)
    if phantom == "tissue":
        assert data is not None
        axis = float(rng.uniform(-5, 5))
        case = _tissue_case(data, shape, ANGLES, seed, {**NOISE_FREE, "shift_error": size, "axis_error": axis}, voxel_size=19.0)
        raw, series, true, truth = np.asarray(case.series.projections), case.series, case.true, case.truth
    else:
        simulation = tomoprior.simulate.simulate(phantom, shape, ANGLES, seed=seed, supersample=supersample)
        images, series, truth = np.asarray(simulation.series.projections), simulation.series, simulation.truth.volume
        axis, shifts = np.deg2rad(rng.uniform(-5, 5)), size * rng.standard_normal((len(ANGLES), 2))
        inverse = np.linalg.inv(image_matrices([axis], [1.0])[0])
        middle = (np.array(images.shape[1:]) - 1) / 2
        offsets = middle - shifts - inverse @ middle
        raw = np.stack([affine_transform(p, inverse, o, order=3) for p, o in zip(images, offsets, strict=True)])
        true = _in_gauge(shifts, ANGLES, float(axis), shape[1:])
    noise = rng.standard_normal(raw.shape) * raw.std(axis=(1, 2), keepdims=True)
    return Case(replace(series, projections=(raw + noise).astype(np.float32)), true, truth)


def make_narrow_case(data: Path, span: int, seed: int) -> Case:
    """Return a section of tissue over a narrow range, with shifts of 1.5 pixels r.m.s. and the microscope's usual noise."""
    angles = np.deg2rad(np.arange(-span / 2, span / 2 + 1e-6, 1.0 if span < 15 else 2.0))
    errors = {**NO_ERRORS, "shift_error": 1.5, "axis_error": 0.0}
    return _tissue_case(data, (32, 96, 96), angles, seed, errors, voxel_size=20.0)


def _tissue_case(
    data: Path,
    shape: tuple[int, int, int],
    angles: NDArray[np.float64],
    seed: int,
    errors: dict[str, float],
    voxel_size: float,
) -> Case:
    tissue = load_tissue(data, "validation_250.tif")
    simulation = tilt_series(tissue, shape, angles, seed=seed, voxel_size=voxel_size, **errors)
    # the microscope shifts after it turns, and counts the angle the other way
    axis = -np.deg2rad(simulation.record["drawn"]["axis_error"])
    matrix = image_matrices([axis], [1.0])[0]
    shifts = np.array(simulation.record["errors"]["shift"]) @ matrix  # rows times the matrix: its inverse applied
    return Case(simulation.series, _in_gauge(shifts, angles, float(axis), shape[1:]), simulation.truth.volume)


def _in_gauge(shifts: NDArray[np.float64], angles: NDArray[np.float64], axis: float, detector: tuple[int, int]) -> Alignment:
    # a displaced volume is no error: the true alignment has the gauge of the estimate
    return Alignment(remove_gauge(shifts, angles, np.ones(len(angles))), axis, detector)


def read_needle256(folder: Path) -> tuple[TiltSeries, TiltSeries]:
    """Return the raw needle of 256 x 256 pixels, and the same as ETSpy aligned it (its axis along x), with the axis along y."""
    raw = tomoprior.read(folder / "needle256" / "HAADF.mrc", angles=folder / "needle256" / "HAADF.rawtlt")
    counts = np.asarray(raw.projections, np.float32) + 32768
    with h5py.File(folder / "needle256" / "HAADF_Aligned.hspy") as file:
        group = next(iter(file["Experiments"].values()))
        published = np.ascontiguousarray(np.asarray(group["data"], np.float32).transpose(0, 2, 1))
        tilts = np.deg2rad(np.asarray(group["metadata/Tomography/_sig_tilts/data"], float).ravel())
    _, rows, columns = published.shape
    return replace(raw, projections=counts), TiltSeries(published, Geometry(tilts, (columns, rows, columns)))


def predict_unseen(series: TiltSeries) -> float:
    """Return the error with which even tilts predict odd ones and back: binned by 2, 48 slices, ``tv`` with 100 iterations.

    The background of every tilt, the median of its columns at the border, is subtracted.
    """
    binned = series.binned(2)
    first = (binned.geometry.detector[0] - 48) // 2
    images = np.asarray(binned.rows(first, first + 48).projections, np.float32)
    border = np.concatenate([images[..., :8], images[..., -8:]], axis=-1)
    images = images - np.median(border, axis=(1, 2))[:, None, None]
    n, rows, columns = images.shape
    angles = binned.geometry.angles
    squares = 0.0
    for seen, unseen in ((np.arange(0, n, 2), np.arange(1, n, 2)), (np.arange(1, n, 2), np.arange(0, n, 2))):
        half = TiltSeries(images[seen], Geometry(angles[seen], (columns, rows, columns)))
        volume = tomoprior.reconstruct(half, "tv", num_iter=100, device="cpu").volume
        others = tomoprior.Projector(Geometry(angles[unseen], volume.shape), "cpu")(volume)
        squares += float(np.sum((np.asarray(others) - images[unseen]) ** 2, dtype=np.float64))
    return (squares / float(np.sum(images**2, dtype=np.float64))) ** 0.5


def find_rotation(raw: NDArray[np.float32], aligned: NDArray[np.float32]) -> float:
    """Return the angle of the axis in raw images that their published aligned versions imply, degrees."""
    degrees = np.arange(-14, -5.9, 0.5)
    costs = [
        -np.mean([_match_score(rotate(r, d, reshape=False, order=3), a) for r, a in zip(raw[::10], aligned[::10], strict=True)])
        for d in degrees
    ]
    return float(degrees[0] + 0.5 * parabola_minimum(costs))


def correlate_moved(volume: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Return the correlation of two volumes after the displacement that matches them best."""
    return _match_score(volume, reference)


def _match_score(image: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    back, _, _ = phase_cross_correlation(reference, image, upsample_factor=10, normalization=None)
    return float(np.corrcoef(move(image, back, order=3).ravel(), reference.ravel())[0, 1])
