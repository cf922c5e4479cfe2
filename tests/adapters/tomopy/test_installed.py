"""With the real TomoPy, where it is installed: our callable in ``tomopy.recon``, and its algorithms as methods."""

from __future__ import annotations

import os

import numpy as np
import pytest
from scipy.ndimage import shift

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
    options = {"method": "sirt", "num_iter": 40}
    found = tomopy.recon(tomo, scan.theta, scan.center, algorithm=tomoprior.algorithm, init_recon=start, options=options)
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


@pytest.mark.parametrize("name", ["tomopy.sirt", "tomopy.art", "tomopy.grad", "tomopy.tikh"])
def test_tomopys_own_are_methods(scan, name):
    assert name in methods.available()
    settings = {"num_iter": 30, **({"reg_par": 0.01} if name == "tomopy.tikh" else {})}
    found = tomoprior.recon(scan.sinograms, scan.theta, scan.center, True, name, **settings)
    assert correlation(found, scan.truth) > 0.8


def test_gridrec_lies_where_it_is_said_to(scan):
    found = tomoprior.recon(scan.sinograms, scan.theta, scan.center, True, "tomopy.gridrec")
    in_place = shift(found, (0, 0.5, -0.5), order=1)
    assert correlation(in_place, scan.truth) > max(correlation(found, scan.truth), 0.5)
