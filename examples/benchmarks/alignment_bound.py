"""Lower bound of the error of the tilt axis' angle: Cramer and Rao's, for the series of ``alignment.py``.

    python examples/benchmarks/alignment_bound.py shapes:1:11 spheres:0:11     (phantom, number of the shape, seed)

The noise is white with the variance of the signal. The shifts of all tilts and the volume are unknown. Whatever they explain of
the change of the images with the angle tells nothing of it; the least squares of the rest are the information. The volume
may be anywhere in the grid, or only where the true one is: a lower bound of zero tells at most about as much as this support.
"""

from __future__ import annotations

import sys

import numpy as np
import torch
from alignment_cases import ANGLES, SHAPES
from numpy.typing import NDArray
from scipy.ndimage import binary_dilation
from scipy.sparse.linalg import LinearOperator, lsqr

import tomoprior

NUM_ITER = 400


def differentiate(images: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
    """Return the derivative along an axis, by the Fourier transform."""
    n = images.shape[axis]
    factor = 2j * np.pi * np.fft.rfftfreq(n)
    factor[-1] = 0  # the highest frequency of an even size has no derivative
    spectrum = np.fft.rfft(images, axis=axis) * factor.reshape([-1 if a == axis else 1 for a in range(images.ndim)])
    return np.fft.irfft(spectrum, n=n, axis=axis)


def bound(phantom: str, shape: tuple[int, int, int], seed: int) -> dict[str, float]:
    """Return the bounds in degrees: with the volume known, in the grid, and in the true support."""
    simulation = tomoprior.simulate.simulate(phantom, shape, ANGLES, seed=seed, supersample=2)
    images, truth = np.asarray(simulation.series.projections, np.float64), simulation.truth.volume
    n, ny, nu = images.shape
    scale = 1 / images.std(axis=(1, 2), keepdims=True)
    by_row, by_column = (scale * differentiate(images, axis) for axis in (1, 2))
    rows, columns = np.arange(ny)[:, None] - (ny - 1) / 2, np.arange(nu) - (nu - 1) / 2
    turn = rows * by_column - columns * by_row
    # columns of the system have about the same norm
    moves = [d / np.sqrt((d**2).sum(axis=(1, 2), keepdims=True)) for d in (by_row, by_column)]
    A, volume = tomoprior.Projector(simulation.series.geometry, "cpu"), n**-0.5
    found = {"known": float(np.linalg.norm(turn))}
    support = binary_dilation(truth > 0.05 * truth.max())
    for name, mask in (("grid", np.ones(shape, bool)), ("support", support)):

        def forward(v: NDArray[np.float64], mask: NDArray[np.bool_] = mask) -> NDArray[np.float64]:
            x, shifts = (v[: mask.size].reshape(shape) * mask).astype(np.float32), v[mask.size :].reshape(2, n, 1, 1)
            return (volume * scale * A(torch.from_numpy(x)).numpy() + shifts[0] * moves[0] + shifts[1] * moves[1]).ravel()

        def adjoint(v: NDArray[np.float64], mask: NDArray[np.bool_] = mask) -> NDArray[np.float64]:
            r = v.reshape(images.shape)
            x = mask * A.T(torch.from_numpy((volume * scale * r).astype(np.float32))).numpy()
            return np.concatenate([x.ravel(), *((m * r).sum(axis=(1, 2)) for m in moves)])

        system = LinearOperator((images.size, truth.size + 2 * n), matvec=forward, rmatvec=adjoint, dtype=np.float64)
        found[name] = float(lsqr(system, turn.ravel(), iter_lim=NUM_ITER, atol=0, btol=0)[3])
    return {name: float(np.rad2deg(1 / norm)) for name, norm in found.items()}


if __name__ == "__main__":
    for argument in sys.argv[1:] or ["shapes:1:11"]:
        phantom, number, seed = argument.split(":")
        degrees = bound(phantom, SHAPES[int(number)], int(seed))
        print(
            f"{argument}: standard error at least, degrees: {', '.join(f'{k} {v:.3f}' for k, v in degrees.items())}", flush=True
        )
