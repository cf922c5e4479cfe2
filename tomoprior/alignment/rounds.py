"""Run rounds of projection matching at one binning: reconstruct, reproject, correct the shifts."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from tomoprior import methods
from tomoprior.alignment.contrast import Level
from tomoprior.alignment.matching import Match, match, remove_gauge
from tomoprior.alignment.newton import Response
from tomoprior.alignment.resampling import edge_weights, resample_image, spline_coefficients
from tomoprior.alignment.transforms import image_matrices
from tomoprior.geometry import Geometry
from tomoprior.methods.solving.padding import resolve_padding
from tomoprior.projector import Projector

#: Largest step of a shift in one round, in pixels of the level.
LIMIT = 1.0
#: Largest movement of an image in the rounds of a level, in pixels of the level; beyond it, all return to their start.
FURTHEST = 8.0
#: Rounds end when the steps of the shifts fall below this root mean square, in pixels of the level.
CONVERGED = 0.003
#: Rounds in which the response of the volume is computed anew.
RESPONSES = (1, 5)
#: The same limit for a step of the axis' angle, and the largest step, radians.
CONVERGED_ANGLE, LIMIT_ANGLE = np.deg2rad(0.005), np.deg2rad(1.0)


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
        The iterative method, and its iterations in each round. ``auto`` is ``tv`` for an isolated specimen: with a lower bound
        it comes closer to the least squares than ``sirt``, whose missing detail pulls at the angle of the axis. It is ``sirt``
        for a section, where no bound holds: there ``tv`` put the images of a simulated section a pixel off. Each round starts
        anew, so that its result depends on the shifts alone.
    """

    level: Level
    geometry: Geometry
    method: str = "auto"
    num_iter: int = 60
    history: list[dict[str, float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        isolated = self.level.specimen == "isolated"
        pad = 0 if isolated else resolve_padding(self.geometry, "auto")
        # the padding is a part of the grid, because the reprojection needs it too
        self._projector = Projector(self.geometry.padded(pad), "cpu")
        chosen = self.method if self.method != "auto" else "tv" if isolated else "sirt"
        self._method: Any = methods.get(chosen)
        values: dict[str, Any] = {
            **self._method.Settings.fast, "num_iter": self.num_iter, "pad": 0, "min_constraint": 0.0 if isolated else None,
        }  # fmt: skip
        self._settings = self._method.Settings.parse(
            {k: v for k, v in values.items() if k in self._method.Settings.model_fields}
        )
        self._coefficients = [spline_coefficients(image) for image in self.level.images]

    def compare(self, pose: Pose) -> Match:
        """Compare the images at their places with the reprojections of their reconstruction."""
        images, weights = self._images(pose)
        weights *= pose.weights[:, None, None].astype(np.float32)
        return match(images, self._explain(images, weights), weights)

    def refine(self, pose: Pose, rounds: int, *, rotate: bool = False, rough: bool = False) -> tuple[Pose, Match]:
        """Correct the shifts, and with ``rotate`` the angle of the axis, in at most ``rounds`` rounds.

        ``rough`` takes the volume as fixed in each step: faster, but slow drifts remain.

        Returns
        -------
        pose, found
            The corrected places, and the last comparison with the residuals.
        """
        angles, factor, start = self.geometry.angles, self.level.bin, pose
        for number in range(1, rounds + 1):
            found = self.compare(pose)
            if number in RESPONSES and not rough:
                response = Response.measure(found, angles, pose.weights, partial(self._displaced, pose), rotate=rotate)
            move, turn = (found.shifts, 0.0) if rough else response.step(found)
            move = remove_gauge(np.clip(move, -LIMIT, LIMIT), angles, pose.weights)
            size = float(np.sqrt(np.average(move**2, axis=0, weights=pose.weights).sum()))
            self.history.append({
                "bin": factor, "round": number, "step": size * factor, "axis": float(np.rad2deg(pose.axis_angle)),
                "residual": float(np.average(found.residuals, weights=pose.weights)),
            })  # fmt: skip
            if size < CONVERGED and abs(turn) < CONVERGED_ANGLE:
                break
            shifts = remove_gauge(pose.shifts / factor + move, angles, pose.weights) * factor
            if np.abs(shifts - start.shifts).max() > factor * FURTHEST:
                return start, self.compare(start)  # the images at this binning do not determine the shifts
            turn = float(np.clip(turn, -LIMIT_ANGLE, LIMIT_ANGLE))
            pose = replace(pose, shifts=shifts, axis_angle=pose.axis_angle + turn)
        return pose, found

    def _displaced(self, pose: Pose, shifts: NDArray[np.float64], turn: float) -> Match:
        return self.compare(replace(pose, shifts=pose.shifts + shifts * self.level.bin, axis_angle=pose.axis_angle + turn))

    def _explain(self, images: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the reprojections of a reconstruction."""
        result = self._method.reconstruct(
            torch.from_numpy(images), self._projector, self._settings, weights=torch.from_numpy(weights)
        )
        return np.asarray(self._projector(result.volume).numpy())

    def _images(self, pose: Pose) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return the images at their places and the weights of their pixels."""
        matrix = image_matrices([pose.axis_angle], [1.0])[0]
        shape, raw_shape = self.geometry.detector, self.level.images.shape[1:]
        shifts = pose.shifts / self.level.bin
        images = [resample_image(c, matrix, shift, shape) for c, shift in zip(self._coefficients, shifts, strict=True)]
        weights = [edge_weights(raw_shape, matrix, shift, shape, self.level.margin) for shift in shifts]
        return np.stack(images), np.stack(weights)
