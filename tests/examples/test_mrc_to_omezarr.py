"""MRC with .rawtlt to OME-Zarr: spoilt tilts left out, binned, and the voxel size of both steps."""

from __future__ import annotations

import json

import numpy as np
import pytest

import tomoprior
from tomoprior.formats import open_stack


def test_a_series_made_there(example, tmp_path):
    said = example("mrc_to_omezarr.py", "--small")
    assert (tmp_path / "simulated.rawtlt").exists()
    assert not (tmp_path / "simulated.tlt").exists()
    stack = open_stack(tmp_path / "volume.zarr")
    assert (stack.data.shape, stack.unit) == ((32, 8, 64), "angstrom")
    assert stack.voxel_size == pytest.approx(13.6)
    assert "voxels of 13.6 angstrom, 435.2 x 108.8 x 870.4 in all" in said
    record = json.loads((tmp_path / "volume.zarr.json").read_text())
    assert len(record["views"]) == 39
    assert not {4, 30} & set(record["views"])
    assert (tmp_path / "volume.png").read_bytes()[:4] == b"\x89PNG"
    # the volume is the one that the call itself gives, without the tilts where the beam was off
    series = tomoprior.read(tmp_path / "simulated.mrc", thickness=64)
    assert not series.projections[[4, 30]].any()
    result = tomoprior.reconstruct(series.exclude([4, 30]).binned(2), "sirt", device="cpu")
    np.testing.assert_allclose(stack.data[...], result.volume, atol=1e-6)


@pytest.mark.slow
def test_a_file_of_ones_own(example, tmp_path):
    geometry = tomoprior.Geometry(np.deg2rad(np.arange(-40, 41, 10)), (12, 6, 24), voxel_size=2.0, unit="nanometer")
    projections = tomoprior.simulate.Spheres.random(geometry.shape, radius=(1, 2), seed=0).project(geometry)
    tomoprior.formats.write_series(tomoprior.TiltSeries(projections, geometry), tmp_path / "series.mrc")
    options = ("--thickness", 12, "--bin", 3, "--method", "wbp", "--exclude", "0,8", "-o", "mine.zarr")
    example("mrc_to_omezarr.py", "series.mrc", *options)
    stack = open_stack(tmp_path / "mine.zarr")
    # MRC keeps its sizes in angstrom
    assert (stack.data.shape, stack.voxel_size * {"nanometer": 10, "angstrom": 1}[stack.unit]) == ((4, 2, 8), 60)
    assert json.loads((tmp_path / "mine.zarr.json").read_text())["views"] == list(range(1, 8))
