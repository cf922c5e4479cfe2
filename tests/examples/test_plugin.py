"""The plug-in package installs, and everything finds and runs its method."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

import tomoprior

from .conftest import EXAMPLES, environment


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder to put on the path, as pip makes it, without a network."""
    folder = tmp_path_factory.mktemp("plugin")
    source = shutil.copytree(EXAMPLES / "plugin", folder / "source")  # building leaves files next to the sources
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    target = folder / "site"
    done = subprocess.run(
        [*command, "--disable-pip-version-check", "--target", str(target), str(source)],
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return target


def run(installed, folder, *arguments):
    command = [sys.executable, "-m", *map(str, arguments)]
    path = environment(PYTHONPATH=str(installed))
    done = subprocess.run(command, cwd=folder, env=path, capture_output=True, text=True, timeout=200, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_program_lists_it_with_its_settings(installed, tmp_path):
    listed = run(installed, tmp_path, "tomoprior", "methods")
    assert "landweber" in listed
    assert "plain gradient descent" in listed
    described = run(installed, tmp_path, "tomoprior", "methods", "landweber")
    assert "relaxation" in described
    assert "Am. J. Math. 73 (1951) 615" in described


def test_recon_runs_it(installed, tmp_path):
    geometry = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 10)), (12, 4, 24), voxel_size=1.0, unit="nanometer")
    spheres = tomoprior.simulate.Spheres.random(geometry.shape, radius=(1, 2), fill=0.05, seed=1)
    series = tomoprior.TiltSeries(spheres.project(geometry), geometry)
    tomoprior.formats.write_series(series, tmp_path / "series.mrc")
    options = ("--method", "landweber", "--set", "num_iter=300", "--thickness", 12)
    run(installed, tmp_path, "tomoprior", "recon", "series.mrc", "-o", "volume.npy", *options)
    record = json.loads((tmp_path / "volume.npy.json").read_text())
    assert record["method"] == "landweber"
    assert record["settings"] == {"num_iter": 300, "relaxation": 1.9}
    assert record["history"]["residual"][-1] < 0.2
    truth = spheres.volume(geometry.shape)
    assert np.corrcoef(np.load(tmp_path / "volume.npy").ravel(), truth.ravel())[0, 1] > 0.8


@pytest.mark.slow
def test_its_own_test_passes(installed, tmp_path):
    shutil.copytree(EXAMPLES / "plugin" / "tests", tmp_path / "tests")
    assert "2 passed" in run(installed, tmp_path, "pytest", "-q", "-p", "no:cacheprovider", "tests")
