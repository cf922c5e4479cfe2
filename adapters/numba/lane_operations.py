"""Operations on neighbouring slices by vector instructions.

A *lane* is one slice of the block that is projected together; the lanes of a pixel are adjacent in memory. Numba's
loop vectoriser needs long loops, but a block has at most 16 lanes. Therefore these two operations are written as LLVM vectors,
whose length is part of the type of ``lanes`` (a tuple with one element a lane).
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)


def _load(builder: Any, address: Any, count: int) -> tuple[Any, Any]:
    """Return a pointer to ``count`` floats at ``address``, and their values; the address need not be aligned."""
    pointer = builder.inttoptr(address, ir.VectorType(_FLOAT, count).as_pointer())
    values = builder.load(pointer)
    values.align = 4
    return pointer, values


def _store(builder: Any, values: Any, pointer: Any) -> None:
    builder.store(values, pointer).align = 4


def _pick(builder: Any, vector: Any, index: list[int]) -> Any:
    return builder.shuffle_vector(vector, vector, ir.Constant(ir.VectorType(_INT, len(index)), index))


def _weights(builder: Any, first: Any, second: Any, lanes: int) -> Any:
    """Return a vector with ``first`` for the lanes of a pixel and ``second`` for those of the next."""
    pair = ir.Constant(ir.VectorType(_FLOAT, 2), ir.Undefined)
    pair = builder.insert_element(pair, first, ir.Constant(_INT, 0))
    pair = builder.insert_element(pair, second, ir.Constant(_INT, 1))
    return _pick(builder, pair, [0] * lanes + [1] * lanes)


def _signature(lanes: Any) -> Any:
    return types.void(types.uint64, types.uint64, types.float32, types.float32, lanes)


@intrinsic
def gather(typing: Any, ray: Any, pixel: Any, first: Any, second: Any, lanes: Any) -> Any:
    """Add ``first`` times the pixel at address ``pixel`` and ``second`` times the next one to the ray at address ``ray``."""
    n = lanes.count

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        ray, pixel, first, second, _ = arguments
        _, values = _load(builder, pixel, 2 * n)
        products = builder.fmul(values, _weights(builder, first, second, n))
        both = builder.fadd(_pick(builder, products, list(range(n))), _pick(builder, products, list(range(n, 2 * n))))
        pointer, total = _load(builder, ray, n)
        _store(builder, builder.fadd(total, both), pointer)
        return context.get_dummy_value()

    return _signature(lanes), generate


@intrinsic
def scatter(typing: Any, pixel: Any, ray: Any, first: Any, second: Any, lanes: Any) -> Any:
    """Add ``first`` times the ray at address ``ray`` to the pixel at address ``pixel``, ``second`` times to the next pixel."""
    n = lanes.count

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pixel, ray, first, second, _ = arguments
        _, values = _load(builder, ray, n)
        twice = _pick(builder, values, list(range(n)) * 2)
        pointer, total = _load(builder, pixel, 2 * n)
        _store(builder, builder.fadd(total, builder.fmul(twice, _weights(builder, first, second, n))), pointer)
        return context.get_dummy_value()

    return _signature(lanes), generate
