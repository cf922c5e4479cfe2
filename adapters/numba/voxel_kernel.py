"""Voxel-driven back-projection: neighbouring voxels of a row look up their places on the detector in one vector.

Voxels of a row are at most one detector pixel apart, so that the pixels of ``WIDTH`` voxels lie in two registers.
"""

from __future__ import annotations

import numpy as np

from .compiling import compile_function
from .parallel_kernel import BEFORE
from .vectors import (
    WIDTH,
    add,
    first,
    floor,
    larger,
    load,
    multiply_add,
    pick,
    repeat,
    shift,
    smaller,
    store,
    subtract,
    truncate,
)

F, ADDRESS = np.float32, np.uint64


@compile_function
def interpolate(rays, image, along, across, falls, nu, begin, end, first_slice, last_slice, tile):  # type: ignore[no-untyped-def]
    """Add to the rows from ``begin`` to ``end`` of an image the interpolated detector values of all angles.

    ``rays`` is ``(angles, slices, nu)``, ``image`` ``(rows, slices, columns)``, padded as in ``parallel_kernel``. A voxel is at
    ``along[angle, column] + across[row, angle]`` on the detector; this falls with the column where ``falls[angle]``.
    """
    _, slices, width = image.shape
    views, reach = rays.shape[0], rays.shape[2]
    pixel_step, ray_step = ADDRESS(4 * width), ADDRESS(4 * reach)
    target, origin, places = ADDRESS(image.ctypes.data), ADDRESS(rays.ctypes.data), ADDRESS(along.ctypes.data)
    low, high, one = repeat(F(-1)), repeat(F(nu)), repeat(F(1))
    columns = along.shape[1]
    for top in range(begin, end, tile):
        for i in range(views):
            back = np.int32(WIDTH if falls[i] else 0)
            for row in range(top, min(top + tile, end)):
                moved = repeat(across[row, i])
                for k in range(0, columns, WIDTH):
                    place = add(moved, load(places + ADDRESS(4 * (i * columns + k))))
                    place = smaller(larger(place, low), high)
                    below = floor(place)
                    fraction = subtract(place, below)
                    rest = subtract(one, fraction)
                    pixel = truncate(below)
                    base = first(pixel) - back
                    index = shift(pixel, -base)
                    following = shift(index, np.int32(1))
                    source = origin + ADDRESS(4 * (BEFORE + base)) + ADDRESS(i * slices + first_slice) * ray_step
                    into = target + ADDRESS(4 * (BEFORE + k)) + ADDRESS(row * slices + first_slice) * pixel_step
                    for _ in range(first_slice, last_slice):
                        total = multiply_add(rest, pick(source, index), load(into))
                        store(into, multiply_add(fraction, pick(source, following), total))
                        source += ray_step
                        into += pixel_step
