"""Copies between tensors and the rows that ``parallel_kernel`` takes."""

from __future__ import annotations

import numpy as np

from .compiling import compile_function
from .parallel_kernel import BEFORE
from .vectors import WIDTH, transpose

ADDRESS = np.uint64
_STRIDED = "float32[:, :, :]"
_ROWS = "float32[:, :, ::1]"


@compile_function(f"void({_STRIDED}, {_STRIDED})")
def copy_transposed(source, target):  # type: ignore[no-untyped-def]
    """Copy ``(rows, slices, columns)``. Fast if the source's rows and the target's columns are adjacent in memory."""
    rows, slices, columns = source.shape
    step, target_step = ADDRESS(source.strides[2]), ADDRESS(target.strides[0])
    adjacent = source.strides[0] == 4 and target.strides[2] == 4
    for top in range(0, rows, WIDTH):
        for s in range(slices):
            for left in range(0, columns, WIDTH):
                a, b = source[top : top + WIDTH, s, left : left + WIDTH], target[top : top + WIDTH, s, left : left + WIDTH]
                if adjacent and a.size == WIDTH * WIDTH:
                    transpose(ADDRESS(a.ctypes.data), step, ADDRESS(b.ctypes.data), target_step)
                else:
                    for row in range(a.shape[0]):
                        for column in range(a.shape[1]):
                            b[row, column] = a[row, column]


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
