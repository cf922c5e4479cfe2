"""Joseph's linear interpolation along the rays of a parallel beam, with neighbouring rays or pixels in a vector.

The rays of an angle cross a row of pixels at equal distances, 1 to 1.42 pixels. The pixels of ``WIDTH`` rays therefore lie in
two registers, and so do the rays of ``WIDTH`` pixels. Places and weights are computed once for several slices. A crossing is
stepped from row to row in single precision, as ASTRA does (see ``lane_kernel``), in both directions with the same numbers, so
that the adjoint is the transpose.

An image is ``(rows, slices, columns)``, with rows across the rays' main direction; rays are ``(angles, slices, nu)``, in the
order in which their crossings grow. Both have ``BEFORE`` zeros before their last axis and more behind. ``places``, ``(angles,
nu)`` with columns far away before and behind, are the crossings with the first row; they are overwritten. ``slope`` and
``apart`` are the steps of a crossing to the next row and to the next ray. ``tile`` rows stay in the cache while all angles take
their share.
"""

from __future__ import annotations

import numpy as np

from .compiling import compile_function
from .vectors import (
    WIDTH,
    add,
    count,
    first,
    floor,
    larger,
    load,
    multiply_add,
    pick,
    repeat,
    shift,
    smaller,
    step_back,
    step_on,
    store,
    subtract,
    truncate,
)  # fmt: skip

F, ADDRESS = np.float32, np.uint64
#: Columns before an image or the rays of an angle, and before and after together: a vector that begins outside stays in them.
BEFORE: int = 32
PAD: int = 96
#: Place of the columns before (negative) and after the rays of an angle: no pixel is near.
FAR: float = 1e9


@compile_function
def _address(array):  # type: ignore[no-untyped-def]
    return ADDRESS(array.ctypes.data)


@compile_function
def _step(places, slope):  # type: ignore[no-untyped-def]
    """Move the crossings of all rays of an angle to the next row."""
    for u in range(places.shape[0]):
        places[u] -= slope


@compile_function
def project(image, rays, places, slope, apart, nu, columns, begin, end, first_slice, last_slice, tile):  # type: ignore[no-untyped-def]
    """Add line integrals of some slices to the rays of the angles from ``begin`` to ``end``, whose ``places`` are given."""
    rows, slices, width = image.shape
    reach = rays.shape[2]
    pixel_step, ray_step = ADDRESS(4 * width), ADDRESS(4 * reach)
    origin, target, place_origin = _address(image), _address(rays), _address(places)
    low, high, one = repeat(F(-1)), repeat(F(columns)), repeat(F(1))
    spare = F(2 + rows / 2048)  # steps round: rays of an angle drift apart by a pixel in some thousand rows
    for top in range(0, rows, tile):
        for i in range(begin, end):
            own = places[i - begin]
            own_address = place_origin + ADDRESS((i - begin) * 4 * reach)
            for row in range(top, min(top + tile, rows)):
                start = own[BEFORE]
                u_begin = int(min(max((F(-1) - start) / apart[i] - spare, F(0)), F(nu))) // WIDTH * WIDTH
                u_end = int(min(max((F(columns) - start) / apart[i] + spare, F(0)), F(nu)))
                for u in range(u_begin, u_end, WIDTH):
                    at = ADDRESS(4 * (BEFORE + u))
                    place = smaller(larger(load(own_address + at), low), high)
                    below = floor(place)
                    fraction = subtract(place, below)
                    rest = subtract(one, fraction)
                    pixel = truncate(below)
                    base = first(pixel)
                    index = shift(pixel, -base)
                    following = shift(index, np.int32(1))
                    source = origin + ADDRESS(4 * (BEFORE + base)) + ADDRESS(row * slices + first_slice) * pixel_step
                    into = target + at + ADDRESS(i * slices + first_slice) * ray_step
                    for _ in range(first_slice, last_slice):
                        total = multiply_add(rest, pick(source, index), load(into))
                        store(into, multiply_add(fraction, pick(source, following), total))
                        source += pixel_step
                        into += ray_step
                _step(own[BEFORE : BEFORE + nu], slope[i])


@compile_function
def back_project(rays, image, places, slope, apart, nu, columns, begin, end, first_slice, last_slice, tile):  # type: ignore[no-untyped-def]
    """Add the transpose of ``project`` to the rows from ``begin`` to ``end`` of some slices of an image."""
    _, slices, width = image.shape
    views, reach = rays.shape[0], rays.shape[2]
    pixel_step, ray_step = ADDRESS(4 * width), ADDRESS(4 * reach)
    target, origin, place_origin = _address(image), _address(rays), _address(places)
    zero, one = repeat(F(0)), repeat(F(1))
    for i in range(views):
        for _ in range(begin):
            _step(places[i, BEFORE : BEFORE + nu], slope[i])
    for top in range(begin, end, tile):
        for i in range(views):
            own = places[i]
            own_address = place_origin + ADDRESS(i * 4 * reach)
            rays_per_pixel = F(1) / apart[i]
            rays_apart = repeat(rays_per_pixel)
            for row in range(top, min(top + tile, end)):
                start, stop = own[BEFORE], own[BEFORE + nu - 1]
                k_begin = int(min(max(np.floor(start), F(0)), F(columns))) // WIDTH * WIDTH
                k_end = int(min(max(np.floor(stop) + F(2), F(0)), F(columns)))
                for k in range(k_begin, k_end, WIDTH):
                    # a ray near the first pixel, and from it the last ray at or before each pixel, corrected by one ray
                    near = min(max(int((F(k) - start) * rays_per_pixel), 0), nu - 1)
                    offset = (F(k) - own[BEFORE + near]) * rays_per_pixel
                    whole = np.floor(offset)
                    at = ADDRESS(4 * (BEFORE + near + int(whole) - 1))
                    place = own_address + at
                    pixel = add(repeat(F(k)), count())
                    index = truncate(multiply_add(count(), rays_apart, repeat(offset - whole + F(1))))
                    index = step_back(index, pick(place, index), pixel)
                    index = step_on(index, pick(place, shift(index, np.int32(1))), pixel)
                    following = shift(index, np.int32(1))
                    # the weights of ``project``, by the same steps of rounding
                    fraction = larger(subtract(pick(place, index), subtract(pixel, one)), zero)
                    rest = larger(subtract(one, subtract(pick(place, following), pixel)), zero)
                    source = origin + at + ADDRESS(i * slices + first_slice) * ray_step
                    into = target + ADDRESS(4 * (BEFORE + k)) + ADDRESS(row * slices + first_slice) * pixel_step
                    for _ in range(first_slice, last_slice):
                        total = multiply_add(fraction, pick(source, index), load(into))
                        store(into, multiply_add(rest, pick(source, following), total))
                        source += ray_step
                        into += pixel_step
                _step(own[BEFORE : BEFORE + nu], slope[i])
