"""The projector against ASTRA's own 2-D CPU projector called slice by slice: speed as a ratio, and the same numbers.

python examples/benchmarks/projector.py [--size 256 --slices 64 --tilts 61]
"""

from __future__ import annotations

import argparse
import time

import astra
import numpy as np
import torch
from timing import best

from tomoprior import Geometry, Projector
from tomoprior.memory import format_bytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("--size", 256), ("--slices", 64), ("--tilts", 61)):
        parser.add_argument(name, type=int, default=default)
    args = parser.parse_args()
    n, ny = args.size, args.slices
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, args.tilts)), (n, ny, n))

    # ASTRA as its users call it, one slice after the other, on the geometry as vectors. (Its `parallel` geometry of the
    # same rays rounds them to single precision in another place: on white noise ASTRA's two answers differ by 1e-5.)
    cos, sin, zero = np.cos(geometry.angles), np.sin(geometry.angles), np.zeros(args.tilts)
    rays = astra.create_proj_geom("parallel_vec", n, np.stack([sin, -cos, zero, zero, cos, sin], axis=1))
    plain = astra.create_projector("linear", rays, astra.create_vol_geom(n, n))
    x = np.random.default_rng(0).random((n, ny, n), dtype=np.float32)
    y = np.empty(geometry.range_shape, np.float32)
    back = np.empty(geometry.shape, np.float32)

    def slice_by_slice() -> None:
        for i in range(ny):
            number, y[:, i] = astra.create_sino(np.ascontiguousarray(x[:, i]), plain)
            astra.data2d.delete(number)
        for i in range(ny):
            number, back[:, i] = astra.create_backprojection(np.ascontiguousarray(y[:, i]), plain)
            astra.data2d.delete(number)

    t = torch.from_numpy(x)
    operators = {name: Projector(geometry, "cpu", backend=name) for name in ("numba", "astra-matrix", "astra-2d")}
    started = time.perf_counter()
    operators["astra-matrix"](t)
    prepared = time.perf_counter() - started
    reference, *times = best(slice_by_slice, *(lambda A=A: A.T(A(t)) for A in operators.values()), repeat=3)

    print(f"forward + adjoint, {ny} slices of {n} x {n}, {args.tilts} tilts, {torch.get_num_threads()} threads")
    print(f"ASTRA, slice by slice   {1e3 * reference / ny:8.2f} ms a slice")
    for (name, A), seconds in zip(operators.items(), times, strict=True):
        forward, adjoint = A(t).numpy(), A.T(torch.from_numpy(y)).numpy()
        off = max(np.linalg.norm(a - b) / np.linalg.norm(b) for a, b in ((forward, y), (adjoint, back)))
        print(
            f"{name:<23} {1e3 * seconds / ny:8.2f} ms a slice: {reference / seconds:5.1f} times faster, "
            f"relative difference {off:.1e}, adjoint error {A.adjoint_error():.1e}"
        )
    cost = operators["astra-matrix"].cost
    print(f"the matrix takes {format_bytes(cost.bytes)} and was ready in {prepared:.2f} s, its first product included")


if __name__ == "__main__":
    main()
