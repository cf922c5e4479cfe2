"""Vector instructions for code that Numba compiles: values of neighbouring pixels or rays in one register.

Numba's loop vectoriser does not find the permutation that reads pixels at computed places. These few operations are therefore
written as LLVM vectors: of ``WIDTH`` floats, or of as many integers, which are places.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.core.registry import cpu_target
from numba.extending import intrinsic, models, register_model

_features = set(cpu_target.target_context.codegen().magic_tuple()[2].split(","))
#: Floats in a register: 16 with AVX-512, 8 with AVX2; 0 for a processor without the permutations of ``pick``.
WIDTH = 16 if "+avx512f" in _features else 8 if {"+avx2", "+fma"} <= _features else 0

_FLOAT, _INT = ir.FloatType(), ir.IntType(32)
_FLOATS, _INTS = ir.VectorType(_FLOAT, WIDTH), ir.VectorType(_INT, WIDTH)


class Floats(types.Type):
    """Numba's type of a vector of single-precision values."""

    llvm = _FLOATS


class Ints(types.Type):
    """Numba's type of a vector of places."""

    llvm = _INTS


@register_model(Floats)
@register_model(Ints)
class _Register(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, kind.llvm)  # type: ignore[no-untyped-call]


floats, ints = Floats("floats"), Ints("ints")
_ADDRESS, _PLACE = types.uint64, types.int32


def _define(result: Any, *arguments: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a compiled operation from a function that writes it with an LLVM builder."""

    def decorate(write: Callable[..., Any]) -> Any:
        def generate(context: Any, builder: Any, signature: Any, values: Any) -> Any:
            found = write(builder, *values)
            return context.get_dummy_value() if result is types.void else found

        names = ", ".join(f"a{i}" for i in range(len(arguments)))
        scope: dict[str, Any] = {"found": (result(*arguments), generate)}
        exec(f"def {write.__name__}(typing, {names}):\n    return found", scope)
        return intrinsic(scope[write.__name__])

    return decorate


def _call(builder: Any, name: str, result: Any, *values: Any) -> Any:
    function = builder.module.globals.get(name)
    if function is None:
        function = ir.Function(builder.module, ir.FunctionType(result, [v.type for v in values]), name)
    return builder.call(function, values)


def _spread(builder: Any, value: Any, vector: Any) -> Any:
    first = builder.insert_element(ir.Constant(vector, ir.Undefined), value, ir.Constant(_INT, 0))
    return builder.shuffle_vector(first, first, ir.Constant(_INTS, [0] * WIDTH))


def _read(builder: Any, address: Any, offset: int = 0) -> Any:
    if offset:
        address = builder.add(address, ir.Constant(address.type, offset))
    values = builder.load(builder.inttoptr(address, _FLOATS.as_pointer()))
    values.align = 4
    return values


@_define(floats, _ADDRESS)
def load(builder: Any, address: Any) -> Any:
    """Return the floats that begin at an address."""
    return _read(builder, address)


@_define(types.void, _ADDRESS, floats)
def store(builder: Any, address: Any, values: Any) -> None:
    """Write a vector to an address."""
    builder.store(values, builder.inttoptr(address, _FLOATS.as_pointer())).align = 4


@_define(floats, types.float32)
def repeat(builder: Any, value: Any) -> Any:
    """Return a vector of one value."""
    return _spread(builder, value, _FLOATS)


@_define(floats)
def count(builder: Any) -> Any:
    """Return the vector 0, 1, 2 and so on."""
    return ir.Constant(_FLOATS, [float(i) for i in range(WIDTH)])


@_define(floats, floats, floats)
def add(builder: Any, a: Any, b: Any) -> Any:
    """Return ``a + b``."""
    return builder.fadd(a, b)


@_define(floats, floats, floats)
def subtract(builder: Any, a: Any, b: Any) -> Any:
    """Return ``a - b``."""
    return builder.fsub(a, b)


@_define(floats, floats, floats, floats)
def multiply_add(builder: Any, a: Any, b: Any, c: Any) -> Any:
    """Return ``a * b + c``, rounded once."""
    return _call(builder, f"llvm.fma.v{WIDTH}f32", _FLOATS, a, b, c)


@_define(floats, floats, floats)
def larger(builder: Any, a: Any, b: Any) -> Any:
    """Return the larger of two values."""
    return builder.select(builder.fcmp_ordered(">", a, b), a, b)


@_define(floats, floats, floats)
def smaller(builder: Any, a: Any, b: Any) -> Any:
    """Return the smaller of two values."""
    return builder.select(builder.fcmp_ordered("<", a, b), a, b)


@_define(floats, floats)
def floor(builder: Any, a: Any) -> Any:
    """Return the largest whole numbers up to ``a``."""
    return _call(builder, f"llvm.floor.v{WIDTH}f32", _FLOATS, a)


@_define(ints, floats)
def truncate(builder: Any, a: Any) -> Any:
    """Return the whole part as integers."""
    return builder.fptosi(a, _INTS)


@_define(_PLACE, ints)
def first(builder: Any, a: Any) -> Any:
    """Return the first integer of a vector."""
    return builder.extract_element(a, ir.Constant(_INT, 0))


@_define(ints, ints, _PLACE)
def shift(builder: Any, a: Any, offset: Any) -> Any:
    """Return ``a + offset``."""
    return builder.add(a, _spread(builder, offset, _INTS))


@_define(ints, ints, floats, floats)
def step_back(builder: Any, index: Any, a: Any, b: Any) -> Any:
    """Return ``index``, less 1 where ``a > b``."""
    return builder.add(index, builder.sext(builder.fcmp_ordered(">", a, b), _INTS))


@_define(ints, ints, floats, floats)
def step_on(builder: Any, index: Any, a: Any, b: Any) -> Any:
    """Return ``index``, plus 1 where ``a <= b``."""
    return builder.sub(index, builder.sext(builder.fcmp_ordered("<=", a, b), _INTS))


@_define(floats, _ADDRESS, ints)
def pick(builder: Any, address: Any, index: Any) -> Any:
    """Return the floats at the places ``index`` from an address on; all below ``2 * WIDTH``."""
    low, high = _read(builder, address), _read(builder, address, 4 * WIDTH)
    if WIDTH == 16:
        return _call(builder, "llvm.x86.avx512.vpermi2var.ps.512", _FLOATS, low, index, high)
    a, b = (_call(builder, "llvm.x86.avx2.permps", _FLOATS, part, index) for part in (low, high))
    return builder.select(builder.icmp_signed("<", index, ir.Constant(_INTS, [WIDTH] * WIDTH)), a, b)


@_define(types.void, _ADDRESS, _ADDRESS, _ADDRESS, _ADDRESS)
def transpose(builder: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> None:
    """Copy ``WIDTH`` rows of ``WIDTH`` floats, with steps in bytes from row to row, as columns."""
    vectors = []
    for _ in range(WIDTH):
        vectors.append(_read(builder, source))
        source = builder.add(source, source_step)
    half = 1
    while half < WIDTH:  # exchange ever larger blocks on either side of the diagonal
        for i in range(WIDTH):
            if not i & half:
                a, b = vectors[i], vectors[i + half]
                upper = [WIDTH + j - half if j & half else j for j in range(WIDTH)]
                lower = [WIDTH + j if j & half else j + half for j in range(WIDTH)]
                vectors[i], vectors[i + half] = (
                    builder.shuffle_vector(a, b, ir.Constant(_INTS, order)) for order in (upper, lower)
                )
        half *= 2
    for values in vectors:
        builder.store(values, builder.inttoptr(target, _FLOATS.as_pointer())).align = 4
        target = builder.add(target, target_step)
