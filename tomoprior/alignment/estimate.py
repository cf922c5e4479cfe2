"""The search for an alignment: first shifts, the angle of the axis, then rounds from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tomoprior.alignment import quality
from tomoprior.alignment.axis import refine_axis, search_axis
from tomoprior.alignment.coarse import correlate_neighbours, find_centres_of_mass
from tomoprior.alignment.contrast import Specimen, bin_images, guess_specimen, make_level
from tomoprior.alignment.resampling import resample_image
from tomoprior.alignment.result import Alignment
from tomoprior.alignment.rounds import Matcher, Pose
from tomoprior.alignment.settings import AlignSettings
from tomoprior.alignment.transforms import image_matrices
from tomoprior.geometry import Geometry
from tomoprior.progress import Progress
from tomoprior.series import TiltSeries
from scipy.ndimage import spline_filter

#: Pixels that the shorter side of an image has at least at the coarsest level, and the longer side at most at the finest.
COARSEST, FINEST = 14, 256
#: An image of at most this many pixels is aligned unbinned.
SMALL = 72 * 72


def estimate_alignment(
    series: TiltSeries, settings: AlignSettings | None = None, *, progress: Progress | None = None
) -> Alignment:
    """Estimate the alignment of a raw tilt series; ``tomoprior.align`` also applies it.

    Parameters
    ----------
    series
        Raw images with their angles. Shifts and a centre in its geometry are the start.
    settings
        By default those of ``AlignSettings()``.
    progress
        Called after each level.

    Returns
    -------
    Alignment
        Transforms, weights and residuals of all tilts.

    Raises
    ------
    SettingsError, InputError
        One line that says what does not fit.
    """
    settings = settings or AlignSettings()
    nominal = series.geometry
    angle = np.deg2rad(settings.tilt_axis or 0.0)
    n = nominal.n_angles
    if len(np.unique(nominal.angles)) < 3:
        lines = quality.describe_determination(nominal.angles, np.ones(n), np.ones(n))
        return Alignment(np.zeros((n, 2)), angle, choose_detector(nominal, angle), statements=tuple(lines))
    factors = choose_bins(nominal.detector, settings)
    binned = bin_images(series.projections, factors[0])
    candidates = [angle] if settings.tilt_axis is not None or settings.search == "none" else [0.0, np.pi / 2]
    searches = [_Search.start(series, binned, factors[0], candidate, settings) for candidate in candidates]
    search = min(searches, key=lambda s: s.residual)
    if settings.search != "none" and np.ptp(nominal.angles) >= np.deg2rad(quality.VERY_NARROW):
        search = search.with_axis(wide=settings.search == "wide" or settings.tilt_axis is None)
    for number, factor in enumerate(factors, 1):
        if factor != factors[0]:
            search = search.at_level(bin_images(series.projections, factor), factor, last=factor == factors[-1])
        if progress is not None:
            progress(number, len(factors), {"residual": search.residual, "axis": float(np.rad2deg(search.pose.axis_angle))})
    return search.result()


def choose_bins(detector: tuple[int, int], settings: AlignSettings) -> list[int]:
    """Return the binning of each level, the coarsest first."""
    finest = settings.bin
    if finest is None:
        finest = 1 if detector[0] * detector[1] <= SMALL else 2
        while max(detector) / finest > FINEST:
            finest *= 2
    factors = [finest]
    while min(detector) // (2 * factors[0]) >= COARSEST:
        factors.insert(0, 2 * factors[0])
    return factors


def choose_detector(nominal: Geometry, axis_angle: float) -> tuple[int, int]:
    """Return rows and columns of the aligned images: those of the raw ones, exchanged if the axis is nearer to x than to y."""
    rows, columns = nominal.detector
    return (columns, rows) if abs(np.sin(axis_angle)) > abs(np.cos(axis_angle)) else (rows, columns)


def aligned_geometry(nominal: Geometry, axis_angle: float) -> Geometry:
    """Return the geometry of the aligned images: axis in the middle, no shifts; a thickness that was the width stays it."""
    detector = choose_detector(nominal, axis_angle)
    nz, _, nx = nominal.shape
    thickness = detector[1] if nz == nx == nominal.detector[1] else nz
    return replace(nominal, shape=(thickness, *detector), detector=detector, center=None, shifts=None)


@dataclass(frozen=True)
class _Search:
    """The state between two levels."""

    nominal: Geometry
    settings: AlignSettings
    specimen: Specimen
    matcher: Matcher
    pose: Pose
    residuals: NDArray[np.float64]
    precision: NDArray[np.float64]
    before: NDArray[np.float64]
    history: tuple[dict[str, float], ...]

    @property
    def residual(self) -> float:
        """Mean residual of the tilts, by their weights."""
        return float(np.average(self.residuals, weights=self.pose.weights))

    @classmethod
    def start(
        cls, series: TiltSeries, binned: NDArray[np.float32], factor: int, angle: float, settings: AlignSettings
    ) -> _Search:
        """Return the search after the first shifts, at a nominal angle of the axis."""
        nominal = series.geometry
        across = 1 if abs(np.sin(angle)) > abs(np.cos(angle)) else 2
        specimen = guess_specimen(binned, across) if settings.specimen == "auto" else settings.specimen
        matcher = _matcher(nominal, binned, factor, angle, specimen, across, settings)
        given = Pose(_given_shifts(nominal), angle, np.ones(nominal.n_angles))
        first = matcher.compare(given)
        starts = [given]
        if settings.coarse:
            starts += [replace(given, shifts=s * factor) for s in _first_shifts(matcher, given)]
        tried = [matcher.refine(pose, settings.num_rounds) for pose in starts]
        pose, step = min(tried, key=lambda t: float(t[1].residuals.mean()))
        return cls(
            nominal, settings, specimen, matcher, pose, step.residuals, step.precision, first.residuals,
            tuple(matcher.history[-settings.num_rounds :]),
        )  # fmt: skip

    def with_axis(self, *, wide: bool) -> _Search:
        """Return the search with the angle of the axis."""
        rounds = self.settings.num_rounds
        find = search_axis if wide else refine_axis
        pose = find(self.matcher, self.pose, rounds)
        pose, step = self.matcher.refine(pose, rounds)
        return replace(self, pose=pose, residuals=step.residuals, precision=step.precision)._weighed()

    def at_level(self, binned: NDArray[np.float32], factor: int, *, last: bool) -> _Search:
        """Return the search after the rounds of a finer level."""
        across = 1 if abs(np.sin(self.pose.axis_angle)) > abs(np.cos(self.pose.axis_angle)) else 2
        matcher = _matcher(self.nominal, binned, factor, self.pose.axis_angle, self.specimen, across, self.settings)
        pose, rounds = self.pose, self.settings.num_rounds
        before = matcher.compare(Pose(_given_shifts(self.nominal), pose.axis_angle, np.ones(len(pose.weights)))).residuals
        narrow = np.ptp(self.nominal.angles) < np.deg2rad(quality.VERY_NARROW)
        if self.settings.search != "none" and not narrow and binned[0].size <= SMALL:
            pose = refine_axis(matcher, pose, rounds, first=np.deg2rad(0.25))
        pose, step = matcher.refine(pose, rounds)
        after = replace(
            self, matcher=matcher, pose=pose, residuals=step.residuals, precision=step.precision, before=before,
            history=(*self.history, *matcher.history[-rounds:]),
        )  # fmt: skip
        return after if last else after._weighed()

    def _weighed(self) -> _Search:
        excess = quality.rate_tilts(self.residuals, self.nominal.angles)
        return replace(self, pose=replace(self.pose, weights=quality.weigh_tilts(excess)))

    def result(self) -> Alignment:
        """Return the alignment with its quality."""
        angles, pose = self.nominal.angles, self.pose
        excess = quality.rate_tilts(self.residuals, angles)
        bad = quality.find_bad_tilts(excess)
        lines = quality.describe_determination(angles, self.residuals, self.precision)
        lines += [f"tilt {i} ({np.rad2deg(angles[i]):.1f} degrees) does not fit and counts less" for i in bad]
        return Alignment(
            pose.shifts, float(pose.axis_angle), choose_detector(self.nominal, pose.axis_angle),
            weights=quality.weigh_tilts(excess), residuals_before=self.before, residuals_after=self.residuals, bad_tilts=bad,
            statements=tuple(lines), history=self.history,
        )  # fmt: skip


def _matcher(
    nominal: Geometry, binned: NDArray[np.float32], factor: int, angle: float, specimen: Specimen, across: int,
    settings: AlignSettings,
) -> Matcher:  # fmt: skip
    geometry = aligned_geometry(nominal, angle).binned(factor)
    return Matcher(make_level(binned, factor, specimen, across), geometry, settings.method, settings.num_iter)


def _given_shifts(nominal: Geometry) -> NDArray[np.float64]:
    """Return the shifts of the geometry, with its centre, unbinned pixels."""
    shifts = np.zeros((nominal.n_angles, 2)) if nominal.shifts is None else nominal.shifts.copy()
    shifts[:, 1] += float(nominal.center.mean()) - nominal.detector[1] / 2
    return shifts


def _first_shifts(matcher: Matcher, given: Pose) -> list[NDArray[np.float64]]:
    """Return candidates for the first shifts, in pixels of the level."""
    matrix = image_matrices([given.axis_angle], [1.0])[0]
    shape = matcher.geometry.detector
    images = np.stack([
        resample_image(spline_filter(i, output=np.float32, mode="nearest"), matrix, np.zeros(2), shape)
        for i in matcher.level.images
    ])  # fmt: skip
    correlated = correlate_neighbours(images, matcher.geometry.angles)
    if matcher.level.specimen == "section":
        return [correlated]
    return [correlated, find_centres_of_mass(images, correlated)]
