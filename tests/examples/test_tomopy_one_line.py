"""The TomoPy script runs with TomoPy and without, and says which; the result is the same."""

from __future__ import annotations

import re
from importlib.util import find_spec

import numpy as np
import pytest

import tomoprior

#: Hands over to the algorithm as ``tomopy.recon`` does: sinograms, in place, with TomoPy's own keywords.
STAND_IN = """
import numpy as np

__version__ = "0 (a stand-in)"

def recon(tomo, theta, center=None, sinogram_order=False, algorithm=None, ncore=None, **kwargs):
    assert callable(algorithm) and ncore == 1 and not sinogram_order
    sinograms = np.require(np.swapaxes(tomo, 0, 1), np.float32, "AC")
    slices, _, columns = sinograms.shape
    out = np.full((slices, columns, columns), 1e-6, np.float32)
    centers = np.full(slices, center, np.float32)
    algorithm(sinograms, centers, out, np.asarray(theta), num_gridx=columns, num_gridy=columns, **kwargs)
    return out
"""


def decibels(said):
    return float(re.search(r"PSNR ([\d.]+) dB", said)[1])


@pytest.mark.slow
@pytest.mark.skipif(find_spec("tomopy") is not None, reason="TomoPy is installed")
def test_without_tomopy_and_with_it_the_result_is_the_same(example, tmp_path):
    said = example("tomopy_one_line.py", "--small")
    assert "TomoPy is not installed: tomoprior.recon instead" in said
    assert decibels(said) > 20
    without = np.load(tmp_path / "recon.npy")
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "tomopy.py").write_text(STAND_IN)
    said = example("tomopy_one_line.py", "--small", PYTHONPATH=str(tmp_path / "path"))
    assert "tomopy.recon of TomoPy 0 (a stand-in), algorithm=tomoprior.algorithm" in said
    # TomoPy starts from 1e-6 and not from zero
    np.testing.assert_allclose(np.load(tmp_path / "recon.npy"), without, atol=1e-4)


@pytest.mark.skipif(find_spec("tomopy") is None, reason="TomoPy is not installed (conda-forge only)")
def test_with_the_real_tomopy(example):
    said = example("tomopy_one_line.py", "--small")
    assert "tomopy.recon of TomoPy" in said
    assert decibels(said) > 20


def test_a_scan_in_a_file(example, tmp_path):
    geometry = tomoprior.Geometry(np.linspace(0, np.pi, 24, endpoint=False), (16, 3, 16))
    integrals = tomoprior.simulate.Spheres.random(geometry.shape, radius=(1, 1.4), seed=0).project(geometry)
    series = tomoprior.TiltSeries(np.exp(-0.1 * integrals), geometry)
    tomoprior.formats.write_series(series, tmp_path / "scan.h5")
    example("tomopy_one_line.py", "scan.h5", "--center", 8, "--num-iter", 5, "-o", "mine.npy")
    expected = tomoprior.recon(0.1 * integrals, geometry.angles, 8.0, algorithm="sirt", num_iter=5)
    np.testing.assert_allclose(np.load(tmp_path / "mine.npy"), expected, atol=1e-5)
