"""Copies between tensors of any strides and the rows that ``parallel_kernel`` takes, in tiles that suit the cache."""

from __future__ import annotations

from .compiling import compile_function
from .parallel_kernel import BEFORE

#: Edge of a tile in pixels: a cache line of rows and of columns.
TILE: int = 16

_STRIDED = "float32[:, :, :]"
_ROWS = "float32[:, :, ::1]"


@compile_function(f"void({_STRIDED}, {_ROWS}, int64, int64)")
def read_rows(source, image, begin, end):  # type: ignore[no-untyped-def]
    """Copy ``source``, ``(rows, slices, columns)``, to the rows from ``begin`` to ``end`` of an image."""
    _, slices, columns = source.shape
    for top in range(begin, end, TILE):
        bottom = min(end, top + TILE)
        for s in range(slices):
            for left in range(0, columns, TILE):
                for row in range(top, bottom):
                    for column in range(left, min(columns, left + TILE)):
                        image[row, s, BEFORE + column] = source[row, s, column]


@compile_function(f"void({_ROWS}, {_STRIDED}, boolean, int64, int64, int64, int64)")
def write_rows(image, target, add, begin, end, first_slice, last_slice):  # type: ignore[no-untyped-def]
    """Copy rows of an image to ``target``, ``(rows, slices, columns)``, or add them to it."""
    columns = target.shape[2]
    for top in range(begin, end, TILE):
        bottom = min(end, top + TILE)
        for s in range(first_slice, last_slice):
            for left in range(0, columns, TILE):
                for row in range(top, bottom):
                    for column in range(left, min(columns, left + TILE)):
                        value = image[row, s, BEFORE + column]
                        target[row, s, column] = target[row, s, column] + value if add else value


@compile_function(f"void({_STRIDED}, {_ROWS}, int64[::1], boolean[::1], float32[::1], int64, int64)")
def read_rays(source, rays, views, falling, length, begin, end):  # type: ignore[no-untyped-def]
    """Copy the projections of ``views``, ``(n_angles, slices, nu)``, times ``length``, in the order of growing crossings."""
    _, slices, nu = source.shape
    for i in range(begin, end):
        for s in range(slices):
            for u in range(nu):
                rays[i, s, BEFORE + u] = source[views[i], s, nu - 1 - u if falling[i] else u] * length[i]


@compile_function(f"void({_ROWS}, {_STRIDED}, int64[::1], boolean[::1], float32[::1], int64, int64, int64, int64)")
def write_rays(rays, target, views, falling, length, begin, end, first_slice, last_slice):  # type: ignore[no-untyped-def]
    """Copy rays back to the projections of ``views``, times ``length``."""
    nu = target.shape[2]
    for i in range(begin, end):
        for s in range(first_slice, last_slice):
            for u in range(nu):
                target[views[i], s, u] = rays[i, s, BEFORE + (nu - 1 - u if falling[i] else u)] * length[i]
