"""With the real TomoPy, where it is installed: our callable in ``tomopy.recon``, and its algorithms as methods."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tomoprior
from tomoprior import methods

tomopy = pytest.importorskip("tomopy", reason="TomoPy is not installed (conda-forge only)")


@pytest.fixture(autouse=True)
def clean_environment():
    yield
    os.environ.pop("TOMOPY_PYTHON_THREADS", None)  # TomoPy leaves it behind after an exception


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


@pytest.mark.parametrize("kwargs", [{}, {"ncore": 1}, {"nchunk": 0}, {"nchunk": 2, "ncore": 2}])
def test_our_sirt_in_tomopy_is_like_tomopys(scan, kwargs):
    def run(**more):
        return tomopy.recon(scan.sinograms, scan.theta, scan.center, sinogram_order=True, **more)

    theirs = run(algorithm="sirt", num_iter=40)
    ours = run(algorithm=tomoprior.algorithm, options={"method": "sirt", "num_iter": 40}, **kwargs)
    assert ours.shape == theirs.shape
    assert correlation(ours, theirs) > 0.99


def test_radiographs_and_a_start(scan):
    tomo = np.ascontiguousarray(scan.sinograms.transpose(1, 0, 2))
    start = np.full(scan.truth.shape, 0.1, np.float32)
    options = {"method": "sirt", "num_iter": 40}
    found = tomopy.recon(tomo, scan.theta, scan.center, algorithm=tomoprior.algorithm, init_recon=start, options=options)
    assert found is start
    assert correlation(found, scan.truth) > 0.9


@pytest.mark.parametrize("kwargs", [{"ncore": 1}, {"ncore": 2}, {"nchunk": 2}])
def test_tv_sees_all_slices_however_tomopy_cuts_them(scan, kwargs):
    found = tomopy.recon(
        scan.sinograms, scan.theta, scan.center, True, tomoprior.algorithm,
        options={"method": "tv", "num_iter": 60, "reg_par": 0.1}, **kwargs,
    )  # fmt: skip
    assert correlation(found, scan.truth) > 0.95


@pytest.mark.parametrize("name", ["tomopy.sirt", "tomopy.art", "tomopy.grad", "tomopy.tikh"])
def test_tomopys_own_are_methods(scan, name):
    assert name in methods.available()
    settings = {"num_iter": 30, **({"reg_par": 0.01} if name == "tomopy.tikh" else {})}
    found = tomoprior.recon(scan.sinograms, scan.theta, scan.center, True, name, **settings)
    assert correlation(found, scan.truth) > 0.8


@pytest.mark.parametrize("shape", [(48, 2, 48), (49, 2, 49), (48, 2, 65)])
@pytest.mark.parametrize("degrees", [180, 120])
def test_gridrec_is_an_opponent_with_right_values_in_the_right_place(shape, degrees):
    """A wide Gaussian, whose projections are known: gridrec is as near to it as wbp, over a full and a limited range."""
    n = 120
    angles = np.deg2rad(np.linspace(-degrees / 2, degrees / 2, n, endpoint=False))
    geometry = tomoprior.Geometry(angles, shape, center=shape[2] / 2 + 0.8)
    nz, ny, nx = shape
    z, x = np.meshgrid(np.arange(nz) - (nz - 1) / 2, np.arange(nx) - (nx - 1) / 2, indexing="ij")
    truth = np.exp(-((z - 4) ** 2 + (x + 5) ** 2) / 32).astype(np.float32)[:, None].repeat(ny, 1)
    u = np.arange(nx) + 0.5 - geometry.center[0]
    middle = -5 * np.cos(angles) - 4 * np.sin(angles)
    rays = np.sqrt(2 * np.pi) * 4 * np.exp(-((u - middle[:, None]) ** 2) / 32)
    series = tomoprior.TiltSeries(rays.astype(np.float32)[:, None].repeat(ny, 1), geometry)

    def error(method: str) -> float:
        volume = tomoprior.reconstruct(series, method).volume
        return float(np.linalg.norm(volume - truth) / np.linalg.norm(truth))

    assert error("tomopy.gridrec") < (0.03 if degrees == 180 else 1.05 * error("wbp") + 0.01)
