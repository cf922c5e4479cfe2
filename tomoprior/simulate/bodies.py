"""Bodies: solids with a place, a rotation and a density, and the scene of several bodies."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tomoprior.simulate.scene import Scene, fine_positions
from tomoprior.simulate.solids import Coordinates, Solid


@dataclass(frozen=True, eq=False)
class Body:
    """A solid at ``center`` (Z, Y, X). ``rotation`` takes directions of the grid to the solid's own; None if they agree."""

    solid: Solid
    center: NDArray[np.float64]
    density: float = 1.0
    rotation: NDArray[np.float64] | None = None
    kind: str = ""

    def level(self, axes: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Return the solid's level on the grid that three axes of positions span."""
        z, y, x = (axis - np.float32(c) for axis, c in zip(axes, self.center, strict=True))
        grid: Coordinates = (z[:, None, None], y[None, :, None], x[None, None, :])
        if self.rotation is not None:
            rows = self.rotation.astype(np.float32)
            rotated = [row[0] * grid[0] + row[1] * grid[1] + row[2] * grid[2] for row in rows]
            grid = (rotated[0], rotated[1], rotated[2])
        return self.solid.level(grid)

    def bounding_box(self, axes: Sequence[NDArray[np.float32]], margin: float = 0.0) -> tuple[slice, ...]:
        """Return the box of these axes that the body, widened by ``margin``, can reach."""
        reach = self.solid.reach + margin
        bounds = [np.searchsorted(axis, [c - reach, c + reach]) for axis, c in zip(axes, self.center, strict=True)]
        return tuple(slice(int(low), int(high)) for low, high in bounds)


class Bodies(Scene):
    """A scene of bodies. Where bodies overlap, their densities add."""

    def __init__(
        self,
        bodies: Sequence[Body],
        shape: tuple[int, int, int],
        sigma: float,
        voxel_size: float,
        unit: str,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        kinds = Counter(body.kind for body in bodies)
        super().__init__(shape, sigma, voxel_size, unit, {"bodies": dict(sorted(kinds.items())), **(facts or {})})
        self.bodies = tuple(bodies)

    def paint(self, start: int, stop: int, supersample: int) -> NDArray[np.float32]:
        """Return the density of the bodies at the centres of the fine voxels."""
        nz, ny, nx = self.shape
        axes = (fine_positions(nz, supersample), fine_positions(ny, supersample, start, stop), fine_positions(nx, supersample))
        out = np.zeros([len(axis) for axis in axes], np.float32)
        for body in self.bodies:
            at = body.bounding_box(axes)
            if all(part.stop > part.start for part in at):
                inside = body.level([axis[part] for axis, part in zip(axes, at, strict=True)]) <= 0
                out[at] += np.float32(body.density) * inside
        return out


def random_rotation(rng: np.random.Generator) -> NDArray[np.float64]:
    """Return a random rotation matrix; all rotations are equally likely (Shoemake's random quaternion).

    ``scipy.spatial.transform.Rotation.random`` does the same, but draws other numbers: phantoms of a given seed, with which
    results were measured, would change.
    """
    u, v, w = rng.random(3)
    a, b = 2 * math.pi * v, 2 * math.pi * w
    q = np.array([math.sqrt(1 - u) * math.sin(a), math.sqrt(1 - u) * math.cos(a), math.sqrt(u) * math.sin(b)])
    r = math.sqrt(u) * math.cos(b)
    skew = np.array([[0, -q[2], q[1]], [q[2], 0, -q[0]], [-q[1], q[0], 0]])
    return np.asarray(np.eye(3) + 2 * r * skew + 2 * skew @ skew)
