"""Estimate an alignment: first shifts, then the angle of the axis, then rounds from coarse to fine."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tomoprior.alignment import quality
from tomoprior.alignment.axis import SEARCH, search_axis
from tomoprior.alignment.coarse import correlate_neighbours, find_centres_of_mass
from tomoprior.alignment.contrast import Specimen, bin_images, guess_specimen, make_level
from tomoprior.alignment.resampling import resample_image, spline_coefficients
from tomoprior.alignment.result import Alignment
from tomoprior.alignment.rounds import Matcher, Pose
from tomoprior.alignment.settings import AlignSettings
from tomoprior.alignment.transforms import image_matrices
from tomoprior.geometry import Geometry
from tomoprior.methods.arguments import check_parallel
from tomoprior.progress import Progress
from tomoprior.series import TiltSeries

#: Pixels that the longer side of an image has at least at the coarsest level, and at most at the finest.
COARSEST, FINEST = 48, 256
#: The same limit for the shorter side at the coarsest level.
NARROWEST = 14
#: An image of at most this many pixels is aligned unbinned.
SMALL = 128 * 128


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
    check_parallel(nominal, "the alignment")
    angle = np.deg2rad(settings.tilt_axis or 0.0)
    n = nominal.n_angles
    factors = choose_bins(nominal.detector, settings)
    binned = bin_images(series.projections, factors[0])
    contrast = np.ptp(binned, axis=(1, 2))
    if len(np.unique(nominal.angles)) < 3 or not contrast.any():
        lines = quality.describe_determination(nominal.angles, np.ones(n), contrast)
        return Alignment(_given_shifts(nominal), float(angle), choose_detector(nominal, angle), statements=tuple(lines))
    candidates = [angle] if settings.tilt_axis is not None or settings.search == "none" else [0.0, np.pi / 2]
    searches = [_Search.start(series, binned, factors[0], candidate, settings) for candidate in candidates]
    if searches[0].finds_axis:
        wide = settings.search == "wide" or settings.tilt_axis is None
        searches = [search.with_axis(wide=wide) for search in searches]
    for number, factor in enumerate(factors, 1):
        if factor != factors[0]:
            binned = bin_images(series.projections, factor)
            searches = [s.at_level(binned, factor, last=factor == factors[-1]) for s in searches]
            # an axis at 90 degrees from the right one can explain the coarsest images, but not finer ones
            searches = [min(searches, key=lambda s: s.residual)]
        if progress is not None:
            axis = float(np.rad2deg(searches[0].pose.axis_angle))
            progress(number, len(factors), {"residual": searches[0].residual, "axis": axis})
    search = min(searches, key=lambda s: s.residual)
    return search.result()


def choose_bins(detector: tuple[int, int], settings: AlignSettings) -> list[int]:
    """Return the binning of each level, the coarsest first."""
    finest = settings.bin
    if finest is None:
        finest = 1 if detector[0] * detector[1] <= SMALL else 2
        while max(detector) / finest > FINEST:
            finest *= 2
    factors = [finest]
    while max(detector) // (2 * factors[0]) >= COARSEST and min(detector) // (2 * factors[0]) >= NARROWEST:
        factors.insert(0, 2 * factors[0])
    return factors


def choose_detector(nominal: Geometry, axis_angle: float) -> tuple[int, int]:
    """Return rows and columns of the aligned images: those of the raw ones, exchanged if the axis is nearer to x than to y."""
    rows, columns = nominal.detector
    return (columns, rows) if _across(axis_angle) == 1 else (rows, columns)


def aligned_geometry(nominal: Geometry, axis_angle: float) -> Geometry:
    """Return the geometry of the aligned images: axis in the middle, and no shifts.

    Where the thickness was the width of the raw images, it is the width of the aligned ones.
    """
    detector = choose_detector(nominal, axis_angle)
    nz, _, nx = nominal.shape
    thickness = detector[1] if nz == nx == nominal.detector[1] else nz
    size = nominal.voxel_size
    return Geometry(nominal.angles, (thickness, *detector), detector, voxel_size=size, unit=nominal.unit)


@dataclass(frozen=True)
class _Search:
    """State of the search between two levels."""

    nominal: Geometry
    settings: AlignSettings
    specimen: Specimen
    start_angle: float
    matcher: Matcher
    pose: Pose
    residuals: NDArray[np.float64]
    precision: NDArray[np.float64]
    before: NDArray[np.float64]
    history: tuple[dict[str, float], ...]
    keeps_axis: bool = False

    @property
    def residual(self) -> float:
        """Weighted mean of the residuals of the tilts."""
        return float(np.average(self.residuals, weights=self.pose.weights))

    @classmethod
    def start(
        cls, series: TiltSeries, binned: NDArray[np.float32], factor: int, angle: float, settings: AlignSettings
    ) -> _Search:
        """Return the search after the first shifts, at a nominal angle of the axis."""
        nominal = series.geometry
        across = _across(angle)
        specimen = guess_specimen(binned, across) if settings.specimen == "auto" else settings.specimen
        matcher = _matcher(nominal, binned, factor, angle, specimen, across, settings)
        given = Pose(_given_shifts(nominal), angle, np.ones(nominal.n_angles))
        first = matcher.compare(given)
        starts = [given]
        if settings.coarse:
            starts += [replace(given, shifts=s * factor) for s in _first_shifts(matcher, given)]
        tried = [matcher.refine(pose, settings.num_rounds // 2, rough=True) for pose in starts]
        pose, step = min(tried, key=lambda t: float(t[1].residuals.mean()))
        return cls(
            nominal, settings, specimen, angle, matcher, pose, step.residuals, step.precision, first.residuals,
            (),
        )  # fmt: skip

    def with_axis(self, *, wide: bool) -> _Search:
        """Return the search with the refined angle of the axis; ``wide`` also tries angles around it."""
        pose = search_axis(self.matcher, self.pose, self.settings.num_rounds // 3) if wide else self.pose
        refined = self._refined(self.matcher, pose)
        if refined.left_range:  # the images do not determine the angle, and the nominal one does less harm
            refined = replace(self, keeps_axis=True)._refined(self.matcher, self.pose)
        return refined._weighed()

    def at_level(self, binned: NDArray[np.float32], factor: int, *, last: bool) -> _Search:
        """Return the search after the rounds of a finer level."""
        across = _across(self.pose.axis_angle)
        matcher = _matcher(self.nominal, binned, factor, self.pose.axis_angle, self.specimen, across, self.settings)
        given = Pose(_given_shifts(self.nominal), self.pose.axis_angle, np.ones(self.nominal.n_angles))
        refined = self._refined(matcher, self.pose)
        if refined.left_range:
            kept = self.pose.turned(self.start_angle)
            refined = replace(self, keeps_axis=True)._refined(matcher, kept)
        after = replace(refined, before=matcher.compare(given).residuals)
        return after if last else after._weighed()

    def _refined(self, matcher: Matcher, pose: Pose) -> _Search:
        earlier = len(matcher.history)
        pose, step = matcher.refine(pose, self.settings.num_rounds, rotate=self.finds_axis)
        return replace(
            self, matcher=matcher, pose=pose, residuals=step.residuals, precision=step.precision,
            history=(*self.history, *matcher.history[earlier:]),
        )  # fmt: skip

    @property
    def finds_axis(self) -> bool:
        """Whether the rounds refine the angle of the axis with the shifts."""
        narrow = np.ptp(self.nominal.angles) < np.deg2rad(quality.NARROW)
        return self.settings.search != "none" and not narrow and not self.keeps_axis

    @property
    def left_range(self) -> bool:
        """Whether the angle of the axis lies beyond the range of the search."""
        return bool(abs(np.rad2deg(self.pose.axis_angle - self.start_angle)) > SEARCH[-1])

    def _weighed(self) -> _Search:
        excess = quality.rate_tilts(self.residuals, self.nominal.angles)
        return replace(self, pose=replace(self.pose, weights=quality.weigh_tilts(excess)))

    def result(self) -> Alignment:
        """Return the alignment with its quality."""
        angles, pose = self.nominal.angles, self.pose
        excess = quality.rate_tilts(self.residuals, angles)
        bad = quality.find_bad_tilts(excess)
        lines = quality.describe_determination(angles, self.residuals, self.precision)
        if self.keeps_axis:
            lines.append(
                f"the angle of the tilt axis is not determined: the images fit best beyond {SEARCH[-1]:g} degrees from the "
                "nominal angle, which is kept"
            )
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


def _across(axis_angle: float) -> int:
    """Return the axis of the raw images that lies across the tilt axis: 2 (x), or 1 for a tilt axis nearer to x."""
    return 1 if abs(np.sin(axis_angle)) > abs(np.cos(axis_angle)) else 2


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
        resample_image(spline_coefficients(i), matrix, np.zeros(2), shape)
        for i in matcher.level.images
    ])  # fmt: skip
    correlated = correlate_neighbours(images, matcher.geometry.angles)
    if matcher.level.specimen == "section":
        return [correlated]
    return [correlated, find_centres_of_mass(images, correlated)]
