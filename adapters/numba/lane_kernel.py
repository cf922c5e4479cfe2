"""Joseph's linear interpolation along rays, forward and as the exact transpose, compiled by Numba.

A ray is followed along the axis that it is closer to. In every row of pixels that it crosses it takes the linear interpolation
of the two pixels that it passes between (Joseph, IEEE Trans. Med. Imaging 1 (1982) 192). The place of the crossing is stepped
from row to row in single precision, as ASTRA does, so that the numbers agree with ASTRA's to rounding.

An image is ``(rows, columns + 3, lanes)``: rows across the rays' main direction, one column of zeros before and two after the
image, and the lanes of a block of slices innermost. A ray that misses the image meets the zeros.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import lane_operations as operations
from .compiling import compile_function

F, ADDRESS = np.float32, np.uint64
#: Columns of zeros before and after the image.
BEFORE, BEYOND = 1, 2

gather: Any = operations.gather
scatter: Any = operations.scatter


@compile_function
def _step(position, slope):  # type: ignore[no-untyped-def]
    """Move the crossings of all rays of an angle to the next row."""
    if slope.shape[0] == 1:
        for u in range(position.shape[0]):
            position[u] -= slope[0]
    else:
        for u in range(position.shape[0]):
            position[u] -= slope[u]


@compile_function
def _cross(position, slope, length, columns, pixel, first, second):  # type: ignore[no-untyped-def]
    """Find pixel and weights of the rays that cross a row of the image, and their range; then step all to the next row.

    ``slope`` and ``length`` have one value for all rays, or one for each ray of a fan.
    """
    low, high, one, nu = F(-1), F(columns), F(1), position.shape[0]
    begin, end, last = 0, nu, slope.shape[0] - 1
    if last == 0:
        # places grow or fall evenly from ray to ray; one ray more on either side makes up for rounding
        apart = (position[nu - 1] - position[0]) / F(max(1, nu - 1))
        if apart != F(0):
            one_side, other_side = (low - position[0]) / apart, (high - position[0]) / apart
            begin = int(min(max(min(one_side, other_side) - one, F(0)), F(nu)))
            end = int(min(max(max(one_side, other_side) + F(3), F(0)), F(nu)))
    else:
        while begin < nu and (position[begin] <= low or position[begin] >= high):
            begin += 1
        while end > begin and (position[end - 1] <= low or position[end - 1] >= high):
            end -= 1
    for u in range(begin, end):
        place = min(max(position[u], low), high)
        below = np.floor(place)
        fraction = place - below
        first[u] = (one - fraction) * length[min(u, last)]
        second[u] = fraction * length[min(u, last)]
        pixel[u] = np.int32(below) + np.int32(1)
    _step(position, slope)
    return begin, end


@compile_function
def project(image, rays, start, slope, length, views, tile, lanes):  # type: ignore[no-untyped-def]
    """Add the line integrals of ``image`` to ``rays[views]``.

    ``rays`` is ``(n_angles, nu, lanes)``; ``start`` the crossing of each ray with the first row, ``(n_angles, nu)``; ``slope``
    and ``length`` belong to an angle, ``(n_angles, 1)``, or to a ray, ``(n_angles, nu)``. ``tile`` rows stay in the cache while
    all angles of ``views`` take their share.
    """
    rows, width, n = image.shape
    columns, nu = width - BEFORE - BEYOND, rays.shape[1]
    step = ADDRESS(4 * n)
    position = start[views]
    pixel, first, second = np.empty(nu, np.int32), np.empty(nu, F), np.empty(nu, F)
    origin, target = ADDRESS(image.ctypes.data), ADDRESS(rays.ctypes.data)
    for top in range(0, rows, tile):
        for i in range(views.shape[0]):
            view = views[i]
            for row in range(top, min(top + tile, rows)):
                begin, end = _cross(position[i], slope[view], length[view], columns, pixel, first, second)
                source = origin + ADDRESS(row) * ADDRESS(width) * step
                ray = target + (ADDRESS(view) * ADDRESS(nu) + ADDRESS(begin)) * step
                for u in range(begin, end):
                    gather(ray, source + ADDRESS(pixel[u]) * step, first[u], second[u], lanes)
                    ray += step


@compile_function
def back_project(rays, image, start, slope, length, views, top, bottom, tile, lanes):  # type: ignore[no-untyped-def]
    """Add the transpose of ``project``, applied to ``rays[views]``, to the rows from ``top`` to ``bottom`` of ``image``."""
    _, width, n = image.shape
    columns, nu = width - BEFORE - BEYOND, rays.shape[1]
    step = ADDRESS(4 * n)
    position = start[views]
    for i in range(views.shape[0]):  # the same steps as forward, so that the transpose is exact
        for _ in range(top):
            _step(position[i], slope[views[i]])
    pixel, first, second = np.empty(nu, np.int32), np.empty(nu, F), np.empty(nu, F)
    target, origin = ADDRESS(image.ctypes.data), ADDRESS(rays.ctypes.data)
    for tile_top in range(top, bottom, tile):
        for i in range(views.shape[0]):
            view = views[i]
            for row in range(tile_top, min(tile_top + tile, bottom)):
                begin, end = _cross(position[i], slope[view], length[view], columns, pixel, first, second)
                into = target + ADDRESS(row) * ADDRESS(width) * step
                # neighbouring rays share a pixel: a load that overlaps the store before it stalls the processor, so that
                # every other ray comes first
                for odd in range(2):
                    ray = origin + (ADDRESS(view) * ADDRESS(nu) + ADDRESS(begin + odd)) * step
                    for u in range(begin + odd, end, 2):
                        scatter(into + ADDRESS(pixel[u]) * step, ray, first[u], second[u], lanes)
                        ray += ADDRESS(2) * step
