"""Made-up discs with holes for the training of a prior: circles, ellipses, polygons, blobs, letters, cells and channels.

Sizes, numbers and gaps enclose those of the challenge's training phantoms: four circles of 0.15 radii of the disc, eight
ellipses, eleven cells behind bridges of 0.06 radii, ten quadrilaterals of one direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Points = NDArray[np.float64]
#: Polygons whose union is a hole, as ``(x, z)`` in units of the size of the hole, centred on 0.
Hole = list[Points]
Rng = np.random.Generator

#: Pixels along an edge of a phantom, of its drawing, and of the drawing that tests whether a hole fits.
SIZE, FINE, COARSE = 256, 512, 128
#: Radius of the disc as a share of the width of the grid, and standard deviations of radius and centre.
RADIUS, RADIUS_STD, CENTRE_STD = 0.459, 0.0015, 0.008
#: Attempts to place a hole.
TRIES = 60


def draw_phantom(rng: Rng) -> tuple[NDArray[np.float32], tuple[float, float, float]]:
    """Return the density of the holes, shape ``(SIZE, SIZE)``, 0 to 1, and the disc ``(x, z, radius)``.

    Centre and radius of the disc are in units of the width of the grid, from its centre. Material that no bridge holds falls
    out of the disc, so that there are no islands in holes.
    """
    radius = RADIUS + RADIUS_STD * rng.standard_normal()
    x, z = CENTRE_STD * rng.standard_normal(2)
    layout = rng.choice([_scatter, _cells, _channels], p=[0.72, 0.18, 0.1])
    image = layout(rng)
    at = (np.arange(SIZE) + 0.5) / SIZE * 2 - 1
    margin = rng.uniform(0.03, 0.12)
    image = image * np.clip((1 - margin - np.hypot(at[:, None], at[None, :])) * SIZE / 2 + 0.5, 0, 1)
    if rng.random() < 0.7:
        width = rng.uniform(0.5, 3.0)
        image = np.clip((ndimage.gaussian_filter(image, width) - 0.5) * width * np.sqrt(2 * np.pi) + 0.5, 0, 1)
    image = _remove_islands(image)
    # from the frame of the disc (-1 to 1 radii) to that of the grid
    at = ((np.arange(SIZE) + 0.5) / SIZE - 0.5) / radius
    rows, columns = ((at - shift / radius + 1) * SIZE / 2 - 0.5 for shift in (z, x))
    grid = np.meshgrid(rows, columns, indexing="ij")
    return ndimage.map_coordinates(image, grid, order=1).astype(np.float32), (x, z, radius)


def _remove_islands(image: NDArray[np.float64]) -> NDArray[np.float64]:
    labels, _ = ndimage.label(image < 0.5)
    return np.where((labels > 0) & (labels != labels[0, 0]), 1.0, image)


def _scatter(rng: Rng) -> NDArray[np.float64]:
    """Draw holes of one kind, or of several, with gaps between them."""
    kinds: Sequence[Callable[[Rng], Hole]] = (_ellipse, _polygon, _slab, _blob, _letter, _star)
    common = rng.choice(len(kinds), size=1 if rng.random() < 0.7 else 3)
    pattern = kinds[common[0]](rng) if rng.random() < 0.25 else None
    turn = rng.uniform(0, 2 * np.pi) if rng.random() < 0.4 else None
    count = int(rng.integers(1, 17))
    largest = min(0.45, 1.1 / np.sqrt(count + 1))
    size = np.exp(rng.uniform(np.log(0.09), np.log(largest)))
    spread, gap = rng.choice([0.0, 0.2, 0.5]), rng.uniform(0.03, 0.12)
    fine = Image.new("L", (FINE, FINE))
    occupied = np.zeros((COARSE, COARSE), bool)
    at = (np.arange(COARSE) + 0.5) / COARSE * 2 - 1
    free = np.hypot(at[:, None], at[None, :]) < 1 - gap
    for _ in range(TRIES):
        if count == 0:
            break
        hole = pattern or kinds[rng.choice(common)](rng)
        angle = rng.uniform(0, 2 * np.pi) if turn is None else turn + 0.1 * rng.standard_normal()
        scale = size * np.exp(spread * rng.standard_normal())
        distance, direction = np.sqrt(rng.random()) * (1 - gap - 0.5 * scale), rng.uniform(0, 2 * np.pi)
        c, s = np.cos(angle) * scale, np.sin(angle) * scale
        middle = distance * np.array([np.cos(direction), np.sin(direction)])
        hole = [p @ np.array([[c, s], [-s, c]]) + middle for p in hole]
        test = Image.new("1", (COARSE, COARSE))
        _fill(test, hole)
        new = np.asarray(test)
        if new.any() and free[new].all():
            _fill(fine, hole)
            occupied |= new
            free &= ndimage.distance_transform_edt(~occupied) > gap * COARSE / 2
            count -= 1
    return np.asarray(fine.reduce(FINE // SIZE), np.float64) / 255


def _cells(rng: Rng) -> NDArray[np.float64]:
    """Draw the cells of random points behind bridges, some of them filled."""
    wanted, spacing = int(rng.integers(4, 20)), rng.uniform(0.3, 0.5)
    seeds: list[Points] = []
    for _ in range(400):
        p = rng.uniform(-1, 1, 2)
        if np.hypot(*p) < 0.95 and all(np.hypot(*(p - q)) > spacing for q in seeds) and len(seeds) < wanted:
            seeds.append(p)
    at = (np.arange(COARSE) + 0.5) / COARSE * 2 - 1
    z, x = np.meshgrid(at, at, indexing="ij")
    points = np.array(seeds)
    squares = (x - points[:, 0, None, None]) ** 2 + (z - points[:, 1, None, None]) ** 2
    first, second = np.argsort(squares, axis=0)[:2]
    near, far = (np.take_along_axis(squares, i[None], 0)[0] for i in (first, second))
    apart = np.hypot(*(points[first] - points[second]).transpose(2, 0, 1))
    edge = (far - near) / (2 * apart) - rng.uniform(0.02, 0.08)  # distance from the bridge
    kept = rng.random(len(points)) < rng.choice([1.0, 0.7])
    edge = np.where(kept[first], edge, -np.abs(edge))
    fine = ndimage.zoom(edge, SIZE / COARSE, order=1, mode="nearest", grid_mode=True)
    return np.clip(fine * SIZE / 2 + 0.5, 0, 1)


def _channels(rng: Rng) -> NDArray[np.float64]:
    """Threshold a smooth random field."""
    width = np.exp(rng.uniform(np.log(5), np.log(16)))
    stretch = np.exp(rng.uniform(0, 0.7))
    field = ndimage.gaussian_filter(rng.standard_normal((COARSE, COARSE)), [width * stretch, width / stretch])
    field = ndimage.rotate(field, rng.uniform(0, 180), reshape=False, order=1, mode="wrap")
    field = ndimage.zoom(field / field.std(), SIZE / COARSE, order=1, mode="nearest", grid_mode=True)
    return np.clip((field - rng.uniform(0.0, 1.0)) * width + 0.5, 0, 1)


def _fill(image: Image.Image, hole: Hole) -> None:
    pen, size = ImageDraw.Draw(image), image.size[0]
    for polygon in hole:
        pen.polygon([tuple(p) for p in (polygon + 1) / 2 * size - 0.5], fill=255 if image.mode == "L" else 1)


def _circle_points(n: int) -> tuple[Points, Points]:
    angle = np.arange(n) / n * 2 * np.pi
    return np.cos(angle), np.sin(angle)


def _ellipse(rng: Rng) -> Hole:
    c, s = _circle_points(48)
    aspect = rng.choice([1.0, rng.uniform(0.4, 1.0)])
    return [np.stack([c, s * aspect], -1)]


def _polygon(rng: Rng) -> Hole:
    n = int(rng.integers(3, 8))
    angle = (np.arange(n) + rng.uniform(-0.3, 0.3, n)) / n * 2 * np.pi
    reach = rng.uniform(1 - rng.choice([0.0, 0.4]), 1.0, n)
    return [np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)]


def _slab(rng: Rng) -> Hole:
    height, slant = rng.uniform(0.2, 0.8), rng.uniform(-0.4, 0.4)
    corners = np.array([[-1, -height], [1, -height], [1, height], [-1, height]])
    corners[:, 1] += slant * corners[:, 0]
    return [corners + 0.15 * rng.uniform(-1, 1, (4, 2))]


def _star(rng: Rng) -> Hole:
    n = int(rng.integers(3, 7))
    angle = np.arange(2 * n) / n * np.pi
    reach = np.where(np.arange(2 * n) % 2, rng.uniform(0.35, 0.8), 1.0)
    return [np.stack([reach * np.cos(angle), reach * np.sin(angle)], -1)]


def _blob(rng: Rng) -> Hole:
    c, s = _circle_points(72)
    order = np.arange(2, 6)
    waves = rng.standard_normal(4) * 0.35 / order, rng.standard_normal(4) * 0.35 / order
    angle = np.arange(72) / 72 * 2 * np.pi
    reach = 1 + (waves[0] @ np.cos(order[:, None] * angle)) + (waves[1] @ np.sin(order[:, None] * angle))
    reach = np.maximum(reach, 0.3)
    return [np.stack([reach * c, reach * s], -1)]


def _letter(rng: Rng) -> Hole:
    """Return strokes: an arc, or lines between points of a coarse grid, as in L, T, Z, H or S."""
    width = rng.uniform(0.2, 0.45)
    if rng.random() < 0.4:
        angle = np.linspace(0, rng.uniform(0.6, 1.7) * np.pi, 10)
        path = np.stack([np.cos(angle), np.sin(angle)], -1) * (1 - width / 2)
        if rng.random() < 0.3:  # a second arc, turned over, makes an S
            path = np.concatenate([path[::-1], [2 * path[0, 0], 0] - path[1:]]) * 0.6
            path = path - path.mean(0)
        return [_stroke(a, b, width) for a, b in pairwise(path)]
    grid = np.array([(x, z) for x in (-0.8, 0.0, 0.8) for z in (-0.8, 0.0, 0.8)])
    path = grid[rng.choice(9, size=int(rng.integers(2, 5)), replace=False)]
    strokes = [_stroke(a, b, width) for a, b in pairwise(path)]
    if rng.random() < 0.4:
        strokes.append(_stroke(grid[rng.integers(9)], path[0], width))
    return strokes


def _stroke(a: Points, b: Points, width: float) -> Points:
    """Return a line from ``a`` to ``b`` with round ends."""
    angle = np.arctan2(*(b - a)[::-1]) + np.linspace(np.pi / 2, 3 * np.pi / 2, 9)
    cap = np.stack([np.cos(angle), np.sin(angle)], -1) * width / 2
    return np.concatenate([a + cap, b - cap])
