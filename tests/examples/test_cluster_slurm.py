"""The example for a cluster runs, with workers of this machine in place of SLURM's."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries, reconstruct
from tomoprior.formats import open_stack, write_series

EXAMPLE = Path(__file__).parents[2] / "examples" / "cluster_slurm.py"


@pytest.mark.slow
def test_workers_of_this_machine(tmp_path):
    geometry = Geometry(np.deg2rad(np.linspace(-60, 60, 15)), (10, 40, 20))
    series = TiltSeries(np.random.default_rng(0).random(geometry.range_shape, np.float32), geometry)
    write_series(series, tmp_path / "scan.zarr")
    command = [sys.executable, EXAMPLE, tmp_path / "scan.zarr", tmp_path / "volume.zarr", "--thickness", "10", "--slab", "8"]
    for workers in "21":  # the second time there is nothing left to do
        run = [*map(str, command), "--local", workers]
        ran = subprocess.run(run, capture_output=True, text=True, timeout=200, check=False)
        assert ran.returncode == 0, ran.stderr
        assert "wrote" in ran.stdout
    np.testing.assert_array_equal(open_stack(tmp_path / "volume.zarr").data[...], reconstruct(series, device="cpu").volume)
