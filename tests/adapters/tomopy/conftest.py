from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import pytest

from tomoprior import Geometry
from tomoprior.simulate import Spheres


class Scan(NamedTuple):
    sinograms: np.ndarray  # (slices, angles, columns), as TomoPy hands them over
    theta: np.ndarray
    center: np.ndarray
    truth: np.ndarray  # (slices, rows, columns)


@pytest.fixture(scope="session")
def scan() -> Scan:
    """Six slices whose axis wanders by a pixel, off the middle."""
    ny, n = 6, 32
    shape = (n, ny, n)
    center = np.linspace(17.2, 18.1, ny).astype(np.float32)
    spheres = Spheres.random(shape, radius=(2, 3), fill=0.08, wall=0.6, seed=4)
    theta = np.linspace(0, np.pi, 40, endpoint=False).astype(np.float32)
    projections = spheres.project(Geometry(theta, shape, center=center))
    sinograms = np.ascontiguousarray(projections.transpose(1, 0, 2))
    sinograms.flags.writeable = False
    return Scan(sinograms, theta, center, spheres.volume(shape).transpose(1, 0, 2))


def drive(
    algorithm: Any, scan: Scan, *, ncore: int, nchunk: int | None, monkeypatch: Any, init_recon: Any = None, **kwargs: Any
) -> Any:
    """Call ``algorithm`` as ``tomopy.recon`` 1.15 does: chunks of slices, in threads, in place, with TomoPy's own keywords."""
    n, _, columns = scan.sinograms.shape
    size = kwargs.setdefault("num_gridx", columns), kwargs.setdefault("num_gridy", columns)
    kwargs.setdefault("options", {})
    recon = np.full((n, *size), 1e-6, np.float32) if init_recon is None else np.require(init_recon, np.float32, "AC")
    if nchunk == 0:
        parts: list[Any] = list(range(n))
    else:
        step = nchunk or -(-n // ncore)
        parts = [np.s_[i : i + step] for i in range(0, n, step)]
    ncore = min(ncore, len(parts))
    monkeypatch.setenv("TOMOPY_PYTHON_THREADS", str(ncore))
    call = lambda part: algorithm(scan.sinograms[part], scan.center[part], recon[part], scan.theta, **kwargs)  # noqa: E731
    if ncore == 1:
        for part in parts:
            call(part)
    else:
        with ThreadPoolExecutor(ncore) as pool:
            list(pool.map(call, parts))
    return recon
