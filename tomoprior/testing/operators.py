"""Checks of linear operators and projectors: adjoint, derivatives, batches, arrays of every kind, threads, pickling."""

from __future__ import annotations

import importlib
import importlib.util
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch

from tomoprior.projector import LinearOperator, Projector
from tomoprior.testing._assertions import ROUNDING, require, require_close, require_refusal

#: Adjoint error allowed for a pair that is declared matched: rounding of float32 sums.
MATCHED_TOLERANCE = 1e-6
#: Adjoint error allowed for another pair (``Projector.matched`` is false): two interpolations of one integral.
UNMATCHED_TOLERANCE = 0.05


def check_operator(A: LinearOperator, tol: float | None = None) -> None:
    """Check a linear operator: adjoint, linearity, derivatives, batches, kinds of arrays, refusals.

    Parameters
    ----------
    A
        The operator. ``A.T`` gets the same checks.
    tol
        Adjoint error allowed; by default 1e-6, or 0.05 for a projector whose ``matched`` is false.

    Raises
    ------
    AssertionError
        With the fault, in one line.

    Examples
    --------
    >>> import tomoprior
    >>> A = tomoprior.Projector(tomoprior.Geometry([-0.5, 0.1, 0.7], (8, 3, 9)), "cpu")
    >>> tomoprior.testing.check_operator(A)
    """
    check_adjoint(A, _tolerance(A) if tol is None else tol)
    check_gradient(A)
    for operator in (A, A.T):
        _check_linear(operator)
        _check_batches(operator)
        _check_arrays(operator)
        _check_refusals(operator)


def check_adjoint(A: LinearOperator, tol: float = MATCHED_TOLERANCE, *, seeds: int = 3) -> None:
    """Check that ``<A x, y>`` and ``<x, A^T y>`` agree for random x and y, and that ``A.T.T`` is A.

    Parameters
    ----------
    A
        The operator.
    tol
        Difference allowed, relative to the larger of ``||A x|| ||y||`` and ``||x|| ||A^T y||``: in a small operator one of
        them can cancel. The check sums in float64, so that the difference is the operator's own.
    seeds
        Number of random pairs.

    Raises
    ------
    AssertionError
        With the fault, in one line.
    """
    require(A.T.domain_shape == A.range_shape, f"A.T takes {A.T.domain_shape}, but A gives {A.range_shape}")
    require(A.T.range_shape == A.domain_shape, f"A.T gives {A.T.range_shape}, but A takes {A.domain_shape}")
    for seed in range(seeds):
        x, y = _random(A, seed), _random(A.T, seed + 1000)
        ax, aty = A(x), A.T(y)
        scale = max(_norm(ax) * _norm(y), _norm(x) * _norm(aty))
        difference = abs(_dot(ax, y) - _dot(x, aty))
        require(
            difference <= tol * scale, f"<A x, y> and <x, A^T y> differ by {difference / max(scale, 1e-300):.3g} > {tol:.3g}"
        )
        require_close(A.T.T(x), ax, ROUNDING, "A.T.T is not A")


def check_gradient(A: LinearOperator) -> None:
    """Check first and second derivatives through ``A`` and through ``A.T``.

    For ``f(x) = ||A x - b||^2 / 2`` the gradient is ``A^T (A x - b)`` and its product with a vector v has the gradient
    ``A^T A v``; both are compared with the operator itself. Where the pair is matched, the slope of f is also compared with
    a difference quotient, which is exact for a quadratic and does not use the adjoint.

    Raises
    ------
    AssertionError
        With the fault, in one line.
    """
    for operator in (A, A.T):
        _check_derivatives(operator, matched=_tolerance(A) <= MATCHED_TOLERANCE)


def check_projector(A: Projector, tol: float | None = None) -> None:
    """Check a projector as ``check_operator`` does, and its geometry, subsets, use from threads and pickling.

    Parameters
    ----------
    A
        The projector.
    tol
        As for ``check_operator``.

    Raises
    ------
    AssertionError
        With the fault, in one line.

    Examples
    --------
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry([-0.5, 0.1, 0.7], (8, 3, 9), center=4.3)
    >>> tomoprior.testing.check_projector(tomoprior.Projector(geometry, "cpu", backend="astra-2d"))
    """
    geometry = A.geometry
    require(
        A.domain_shape == geometry.domain_shape, f"domain_shape is {A.domain_shape}, the geometry's {geometry.domain_shape}"
    )
    require(A.range_shape == geometry.range_shape, f"range_shape is {A.range_shape}, the geometry's {geometry.range_shape}")
    check_operator(A, tol)
    _check_subset(A)
    _check_threads(A)
    _check_pickling(A)


def _check_derivatives(operator: LinearOperator, *, matched: bool) -> None:
    x, v = _random(operator, 1).requires_grad_(), _random(operator, 2)
    b = _random(operator.T, 3)
    residual = operator(x) - b
    require(residual.requires_grad, f"no gradient flows through {operator!r}")
    value = 0.5 * (residual * residual).sum()
    (grad,) = torch.autograd.grad(value, x, create_graph=True)
    with torch.no_grad():
        expected = operator.T(operator(x.detach()) - b)
    require_close(grad.detach(), expected, ROUNDING, "the gradient of ||A x - b||^2 / 2 is not A^T (A x - b)")
    require(grad.requires_grad, "the gradient cannot be differentiated again")
    (second,) = torch.autograd.grad((grad * v).sum(), x)
    with torch.no_grad():
        expected = operator.T(operator(v))
        require_close(second, expected, ROUNDING, "the second derivative of ||A x - b||^2 / 2 along v is not A^T A v")
        if matched:
            # f(x + v) - f(x - v) = 2 <grad f(x), v>, exactly
            plus, minus = (operator(x.detach() + s * v).double() - b.double() for s in (1, -1))
            slope = 0.25 * float((plus * plus).sum() - (minus * minus).sum())
            scale = float(grad.detach().double().norm() * v.double().norm()) + float((b.double() ** 2).sum())
            require(
                abs(slope - _dot(grad.detach(), v)) <= ROUNDING * scale,
                "the gradient does not agree with a difference quotient",
            )


def _check_linear(operator: LinearOperator) -> None:
    x, y = _random(operator, 4), _random(operator, 5)
    before = x.clone()
    require_close(operator(2 * x - 3 * y), 2 * operator(x) - 3 * operator(y), ROUNDING, "the operator is not linear")
    require(torch.equal(x, before), "the operator changes its argument")
    out = operator(torch.zeros_like(x))
    require(not bool(out.any()), "the operator does not map zero to zero")
    require(out.dtype == torch.float32 and out.device == x.device, f"the result is {out.dtype} on {out.device}")


def _check_batches(operator: LinearOperator) -> None:
    one = _random(operator, 6)
    many = torch.stack([one, _random(operator, 7), 2 * one]).unsqueeze(0).repeat(2, 1, 1, 1, 1)
    for leading in ((0,), (1,), (1, 1), (2, 0)):
        shape = tuple(operator(one.new_zeros(*leading, *operator.domain_shape)).shape)
        require(shape == (*leading, *operator.range_shape), f"a batch of shape {leading} gives a result of shape {shape}")
    results = operator(many)
    require(tuple(results.shape) == (2, 3, *operator.range_shape), f"a batch of shape (2, 3) gives {tuple(results.shape)}")
    for i in range(2):
        for j in range(3):
            require_close(
                results[i, j], operator(many[i, j].contiguous()), ROUNDING, f"element {i}, {j} differs in a batch and alone"
            )
    strided = one.permute(2, 1, 0).contiguous().permute(2, 1, 0)
    require_close(operator(strided), operator(one), ROUNDING, "the result depends on the strides of the argument")


def _check_arrays(operator: LinearOperator) -> None:
    x = _random(operator, 8)
    expected = operator(x).cpu()
    array = x.cpu().numpy()
    read_only = array.copy()
    read_only.flags.writeable = False
    strided = np.zeros((*array.shape[:-1], 2 * array.shape[-1]), np.float32)[..., ::2]
    strided[...] = array
    swapped = array.astype(array.dtype.newbyteorder())
    cases = {
        "float32": array,
        "read-only": read_only,
        "strided": strided,
        "Fortran-ordered": np.asfortranarray(array),
        "reversed": array[..., ::-1].copy()[..., ::-1],
        "byte-swapped": swapped,
        "float64": array.astype(np.float64),
    }
    for name, case in cases.items():
        before = case.copy()
        result: Any = operator(case)
        require(isinstance(result, np.ndarray), f"a NumPy array gives a {type(result).__name__}")
        require(
            result.dtype == np.float32 and result.flags.c_contiguous,
            f"a {name} array gives {result.dtype}, not contiguous float32",
        )
        require_close(torch.from_numpy(result), expected, ROUNDING, f"a {name} array gives other values than a tensor")
        require(np.array_equal(case, before), f"the operator changes a {name} array")
    integers: Any = operator(np.ones(operator.domain_shape, np.uint8))
    require_close(
        torch.from_numpy(integers), operator(torch.ones_like(x)).cpu(), ROUNDING, "whole numbers give other values than float32"
    )


def _check_refusals(operator: LinearOperator) -> None:
    x = _random(operator, 9)
    require_refusal(lambda: operator(x.double()), "a float64 tensor")
    require_refusal(lambda: operator(x.to(torch.int32)), "an int32 tensor")
    require_refusal(lambda: operator(x.to(torch.complex64)), "a complex tensor")
    require_refusal(lambda: operator(x.cpu().numpy().astype(np.complex64)), "a complex array")
    require_refusal(lambda: operator(x[0]), "a tensor with an axis too few")
    require_refusal(lambda: operator(torch.cat([x, x], dim=-1)), "a tensor of another width")
    require_refusal(lambda: operator(torch.cat([x, x], dim=0).cpu().numpy()), "an array of another length")
    require_refusal(lambda: operator(x.to("meta")), "a tensor on another device")


def _check_subset(A: Projector) -> None:
    n = A.geometry.n_angles
    views = np.arange(n)[::-2].copy()
    x = _random(A, 10)
    require_close(
        A.subset(views)(x),
        A(x)[torch.from_numpy(views).to(A.device)],
        ROUNDING,
        "a subset of the tilts gives other projections than all tilts",
    )


def _check_threads(A: Projector) -> None:
    x, y = _random(A, 11), _random(A.T, 12)
    expected = A(x), A.T(y)
    with ThreadPoolExecutor(4) as pool:
        for ax, aty in pool.map(lambda _: (A(x), A.T(y)), range(8)):
            require(torch.equal(ax, expected[0]), "A gives other bits when several threads use it")
            require(torch.equal(aty, expected[1]), "A.T gives other bits when several threads use it")


def _check_pickling(A: Projector) -> None:
    x, y = _random(A, 13), _random(A.T, 14)
    modules: list[Any] = [pickle]
    if importlib.util.find_spec("cloudpickle") is not None:  # used by Dask and installed with it
        modules.append(importlib.import_module("cloudpickle"))
    for module in modules:
        pickled = module.dumps(A)
        require(
            len(pickled) < 65536 + 64 * A.geometry.n_angles + 64 * A.geometry.shape[1],
            f"a pickled projector takes {len(pickled)} bytes",
        )
        other = module.loads(pickled)
        require(
            other.geometry == A.geometry and other.backend == A.backend,
            f"{module.__name__} does not restore the projector",
        )
        require_close(other(x), A(x), ROUNDING, f"a projector restored by {module.__name__} gives other projections")
        require_close(module.loads(module.dumps(A.T))(y), A.T(y), ROUNDING, f"an adjoint restored by {module.__name__} differs")


def _tolerance(A: LinearOperator) -> float:
    return MATCHED_TOLERANCE if getattr(A, "matched", True) else UNMATCHED_TOLERANCE


def _random(operator: LinearOperator, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(operator.domain_shape, generator=generator).to(operator.device)


def _dot(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a.double() * b.double()).sum())


def _norm(a: torch.Tensor) -> float:
    return float(a.double().norm())
