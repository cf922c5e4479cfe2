"""Run rounds of projection matching at one binning: reconstruct, reproject, correct the shifts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior import methods
from tomoprior.alignment.acceleration import Anderson
from tomoprior.alignment.contrast import Level
from tomoprior.alignment.matching import Step, match, remove_gauge
from tomoprior.alignment.resampling import edge_weights, resample_image, spline_coefficients
from tomoprior.alignment.transforms import image_matrices
from tomoprior.geometry import Geometry
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.projector import Projector

#: Largest step of a shift in one round, in pixels of the level.
LIMIT = 1.0
#: Largest movement of an image in the rounds of a level, as a share of its shorter side; beyond it, all return to their start.
FURTHEST = 0.4
#: Rounds end when the steps of the shifts fall below this root mean square, in pixels of the level.
CONVERGED = 0.001
#: The same limit for a step of the axis' angle, radians.
CONVERGED_ANGLE = np.deg2rad(0.0005)
#: Factor of a step of the angle, and the largest step in radians. The volume follows a wrong angle, so that a plain step
#: corrects a thirtieth to a hundredth of the error.
GAIN, LIMIT_ANGLE = 10.0, np.deg2rad(1.0)


@dataclass(frozen=True)
class Pose:
    """Places of the images during the search.

    Attributes
    ----------
    shifts
        ``(dy, dx)`` in unbinned pixels, shape ``(n, 2)``.
    axis_angle
        Angle of the tilt axis in radians, as in ``transforms``.
    weights
        Weights of the tilts, shape ``(n,)``.
    """

    shifts: NDArray[np.float64]
    axis_angle: float
    weights: NDArray[np.float64]

    def turned(self, axis_angle: float) -> Pose:
        """Return the pose for another angle of the tilt axis, with the image centres in the same places."""
        turn = image_matrices([self.axis_angle - axis_angle], [1.0])[0]
        return replace(self, shifts=self.shifts @ turn.T, axis_angle=axis_angle)


@dataclass
class Matcher:
    """Projection matching at one level.

    Attributes
    ----------
    level
        Images of the level.
    geometry
        Geometry of the aligned images at the level's binning, with the axis in the middle and without shifts.
    method, num_iter
        The iterative method, and its iterations in each round. Each round starts anew, so that its result depends on
        the shifts alone.
    """

    level: Level
    geometry: Geometry
    method: str = "sirt"
    num_iter: int = 30
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        isolated = self.level.specimen == "isolated"
        pad = 0 if isolated else resolve_padding(self.geometry, "auto")
        # the padding is a part of the grid, because the reprojection needs it too
        self._projector = Projector(self.geometry.padded(pad), "cpu")
        self._method: Any = methods.get(self.method)
        values: dict[str, Any] = {"num_iter": self.num_iter, "pad": 0}
        if "min_constraint" in self._method.Settings.model_fields:
            values["min_constraint"] = 0.0 if isolated else None
        self._settings = self._method.Settings.parse(values)
        self._coefficients = [spline_coefficients(image) for image in self.level.images]

    def compare(self, pose: Pose, *, rotate: bool = False) -> Step:
        """Return the step towards the reprojection of a reconstruction at the given places, in pixels of the level."""
        images, weights = self._images(pose)
        weighted = torch.from_numpy(weights * pose.weights[:, None, None].astype(np.float32))
        result = self._method.reconstruct(torch.from_numpy(images), self._projector, self._settings, weights=weighted)
        reprojections = self._projector(result.volume).numpy()
        return match(images, reprojections, weights, pose.weights, limit=LIMIT, rotate=rotate)

    def refine(self, pose: Pose, rounds: int, *, rotate: bool = False) -> tuple[Pose, Step]:
        """Correct the shifts, and with ``rotate`` the angle of the axis, in at most ``rounds`` rounds.

        Returns
        -------
        pose, step
            The corrected places, and the last step with the residuals.
        """
        anderson, angles, factor, start = Anderson(), self.geometry.angles, self.level.bin, pose
        furthest = min(self.geometry.detector) * factor * FURTHEST
        # the angle is counted in pixels at a quarter of the width, with the weight of all shifts together
        scale = self.geometry.detector[1] / 4 * len(angles) ** 0.5
        for number in range(1, rounds + 1):
            step = self.compare(pose, rotate=rotate)
            move = remove_gauge(step.shifts, angles, pose.weights)
            size = float(np.sqrt(np.average(move**2, axis=0, weights=pose.weights).sum()))
            self.history.append({
                "bin": factor, "round": number, "step": size * factor, "axis": float(np.rad2deg(pose.axis_angle)),
                "residual": float(np.average(step.residuals, weights=pose.weights)),
            })  # fmt: skip
            if size < CONVERGED and abs(step.axis_angle) < CONVERGED_ANGLE:
                break
            point = np.append(pose.shifts.ravel() / factor, pose.axis_angle * scale)
            turn = float(np.clip(GAIN * step.axis_angle, -LIMIT_ANGLE, LIMIT_ANGLE))
            point = anderson.step(point, np.append(move.ravel(), turn * scale))
            shifts = remove_gauge(point[:-1].reshape(-1, 2), angles, pose.weights) * factor
            if np.abs(shifts - start.shifts).max() > furthest:  # the images at this binning do not determine the shifts
                return start, self.compare(start)
            pose = replace(pose, shifts=shifts, axis_angle=float(point[-1] / scale))
        return pose, step

    def _images(self, pose: Pose) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the images at their places and the weights of their pixels."""
        matrix = image_matrices([pose.axis_angle], [1.0])[0]
        shape, raw_shape = self.geometry.detector, self.level.images.shape[1:]
        shifts = pose.shifts / self.level.bin
        images = [resample_image(c, matrix, shift, shape) for c, shift in zip(self._coefficients, shifts, strict=True)]
        weights = [edge_weights(raw_shape, matrix, shift, shape, self.level.margin) for shift in shifts]
        return np.stack(images), np.stack(weights)
