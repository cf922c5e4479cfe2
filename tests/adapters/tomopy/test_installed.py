"""With the real TomoPy, where it is installed (conda-forge): our callable in ``tomopy.recon``, and its algorithms as methods."""

from __future__ import annotations

import os

import numpy as np
import pytest

import tomoprior
from tomoprior import methods
from tomoprior.errors import InputError

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
    found = tomopy.recon(
        tomo, scan.theta, scan.center, algorithm=tomoprior.algorithm, init_recon=start, options={"method": "sirt", "num_iter": 40}
    )  # fmt: skip
    assert found is start
    assert correlation(found, scan.truth) > 0.9


def test_tv_needs_one_core(scan):
    def run(**more):
        return tomopy.recon(
            scan.sinograms, scan.theta, scan.center, True, tomoprior.algorithm,
            options={"method": "tv", "num_iter": 60, "reg_par": 0.1}, **more,
        )  # fmt: skip

    assert correlation(run(ncore=1), scan.truth) > 0.95
    with pytest.raises(InputError, match="ncore=1"):
        run(ncore=2)


@pytest.mark.parametrize("name", ["tomopy.sirt", "tomopy.art", "tomopy.gridrec", "tomopy.grad", "tomopy.tikh"])
def test_tomopys_own_are_methods(scan, name):
    assert name in methods.available()
    settings = {} if name == "tomopy.gridrec" else {"num_iter": 30}
    if name == "tomopy.tikh":
        settings["reg_par"] = 0.01
    found = tomoprior.recon(scan.sinograms, scan.theta, scan.center, True, name, **settings)
    # gridrec's picture lies half a pixel off, which is much for details of two pixels
    assert correlation(found, scan.truth) > (0.5 if name == "tomopy.gridrec" else 0.8)
