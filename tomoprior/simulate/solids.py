"""Solids around the origin: the distance of a point from the surface, and the enclosed volume.

``level`` is negative inside, zero on the surface and grows about as the distance outside, in the units of the coordinates.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Coordinates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


class Solid(ABC):
    """A body around the origin."""

    #: radius of a sphere around the origin that holds the body
    reach: float
    #: enclosed volume
    volume: float

    @abstractmethod
    def level(self, points: Coordinates) -> NDArray[np.float32]:
        """Return the level at the points, in the shape of the broadcast coordinates: negative inside."""


@dataclass(frozen=True)
class Ball(Solid):
    """A sphere, hollow if ``inner`` is not zero."""

    radius: float
    inner: float = 0.0

    @property
    def reach(self) -> float:  # type: ignore[override]
        """The radius."""
        return self.radius

    @property
    def volume(self) -> float:  # type: ignore[override]
        """The volume of the wall."""
        return 4 / 3 * math.pi * (self.radius**3 - self.inner**3)

    def level(self, points: Coordinates) -> NDArray[np.float32]:
        """Return the distance from the wall."""
        r = np.sqrt(points[0] ** 2 + points[1] ** 2 + points[2] ** 2)
        beyond = r - np.float32(self.radius)
        return np.asarray(beyond if self.inner == 0 else np.maximum(beyond, np.float32(self.inner) - r))


@dataclass(frozen=True)
class Ellipsoid(Solid):
    """An ellipsoid with semi-axes ``axes``."""

    axes: tuple[float, float, float]

    @property
    def reach(self) -> float:  # type: ignore[override]
        """The longest semi-axis."""
        return max(self.axes)

    @property
    def volume(self) -> float:  # type: ignore[override]
        """The enclosed volume."""
        return 4 / 3 * math.pi * math.prod(self.axes)

    def level(self, points: Coordinates) -> NDArray[np.float32]:
        """Return at least the distance, too large by at most the ratio of the axes."""
        a, b, c = (np.float32(v) for v in self.axes)
        r = np.sqrt((points[0] / a) ** 2 + (points[1] / b) ** 2 + (points[2] / c) ** 2)
        return np.asarray((r - 1) * np.float32(max(self.axes)))


class Polytope(Solid):
    """A convex body between planes ``normal . p <= distance``, or a union of such bodies.

    Parameters
    ----------
    parts
        Pairs of unit normals ``(n, 3)`` and distances ``(n,)``.
    reach, volume
        Its reach and volume in closed form.
    """

    def __init__(self, parts: Sequence[tuple[ArrayLike, ArrayLike]], reach: float, volume: float) -> None:
        self.parts = [(np.asarray(n, np.float32), np.asarray(d, np.float32)) for n, d in parts]
        self.reach, self.volume = reach, volume

    def level(self, points: Coordinates) -> NDArray[np.float32]:
        """Return the distance from the plane of the nearest face."""
        levels = [
            np.maximum.reduce(
                [n[0] * points[0] + n[1] * points[1] + n[2] * points[2] - d for n, d in zip(normals, distances, strict=True)]
            )
            for normals, distances in self.parts
        ]
        return np.asarray(levels[0] if len(levels) == 1 else np.minimum.reduce(levels))


@dataclass(frozen=True)
class Disc(Solid):
    """A flat cylinder about the first axis."""

    radius: float
    thickness: float

    @property
    def reach(self) -> float:  # type: ignore[override]
        """The distance to its rim."""
        return math.hypot(self.radius, self.thickness / 2)

    @property
    def volume(self) -> float:  # type: ignore[override]
        """The enclosed volume."""
        return math.pi * self.radius**2 * self.thickness

    def level(self, points: Coordinates) -> NDArray[np.float32]:
        """Return the distance from the side or a face."""
        side = np.sqrt(points[1] ** 2 + points[2] ** 2) - np.float32(self.radius)
        return np.asarray(np.maximum(side, np.abs(points[0]) - np.float32(self.thickness / 2)))


def box(a: float, b: float, c: float) -> Polytope:
    """Return a box with edges ``a``, ``b`` and ``c``."""
    normals = np.concatenate([np.eye(3), -np.eye(3)])
    return Polytope([(normals, np.array([a, b, c] * 2) / 2)], math.hypot(a, b, c) / 2, a * b * c)


def pyramid(base: float, height: float) -> Polytope:
    """Return a pyramid on a square, with its centre of mass in the origin, a quarter of the height above the base."""
    slope = math.hypot(height, base / 2)
    out, up = height / slope, base / 2 / slope
    normals = np.array([[-1, 0, 0], [up, out, 0], [up, -out, 0], [up, 0, out], [up, 0, -out]])
    apex = 0.75 * height * up  # every side passes through (3/4 height, 0, 0)
    reach = max(0.75 * height, math.hypot(height / 4, base / math.sqrt(2)))
    return Polytope([(normals, [height / 4, apex, apex, apex, apex])], reach, base**2 * height / 3)


def prism(corners: int, radius: float, length: float) -> Polytope:
    """Return a regular prism; ``radius`` is the distance of an edge from its axis."""
    turns = 2 * math.pi * np.arange(corners) / corners
    sides = np.stack([np.zeros(corners), np.cos(turns), np.sin(turns)], axis=1)
    normals = np.concatenate([[[1, 0, 0], [-1, 0, 0]], sides])
    distances = [length / 2] * 2 + [radius * math.cos(math.pi / corners)] * corners
    area = corners / 2 * radius**2 * math.sin(2 * math.pi / corners)
    return Polytope([(normals, distances)], math.hypot(radius, length / 2), area * length)


def cross(bars: int, length: float, width: float) -> Polytope:
    """Return two bars crossed in a plane (four points) or three along the axes (six points), with square sections."""
    parts = [box(*(length if axis == bar else width for axis in range(3))).parts[0] for bar in range(bars)]
    volume = bars * length * width**2 - (bars - 1) * width**3
    return Polytope(parts, math.hypot(length, width, width) / 2, volume)
