"""reconstruct and compare take files where they take arrays."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import InputError, NoSuchFileError

GEOMETRY = tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 10)), (16, 3, 16), voxel_size=2.0, unit="nanometer")
SERIES = tomoprior.TiltSeries(np.random.default_rng(0).random(GEOMETRY.range_shape).astype(np.float32), GEOMETRY)
VOLUME = np.random.default_rng(1).random((16, 3, 16)).astype(np.float32)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tomoprior.write(SERIES, tmp_path / "series.mrc")
    tomoprior.write(tomoprior.Reconstruction(VOLUME, GEOMETRY), tmp_path / "volume.mrc")
    return tmp_path


def test_reconstruct_takes_the_file_of_a_series_and_of_a_volume(folder: Path) -> None:
    expected = tomoprior.reconstruct(SERIES, "sirt", num_iter=2, initial=VOLUME).volume
    for kind in (str, Path):
        series, volume = kind(folder / "series.mrc"), kind(folder / "volume.mrc")
        result = tomoprior.reconstruct(series, "sirt", num_iter=2, initial=volume)
        np.testing.assert_allclose(result.volume, expected, atol=1e-5)
        assert result.voxel_size == pytest.approx(2.0)


def test_compare_takes_the_files_of_a_series_and_a_truth(folder: Path) -> None:
    result = tomoprior.compare(str(folder / "series.mrc"), ["wbp"], truth=str(folder / "volume.mrc"), checks=[])
    np.testing.assert_array_equal(result.truth, VOLUME)
    assert result["wbp"].status == "done"


def test_the_truth_of_a_file_must_have_the_grids_voxels(folder: Path) -> None:
    tomoprior.write(tomoprior.Reconstruction(VOLUME, GEOMETRY), folder / "same.mrc")
    other = tomoprior.Geometry([0.0], (16, 3, 16), voxel_size=3.0, unit="nanometer")
    tomoprior.write(tomoprior.Reconstruction(VOLUME, other), folder / "other.mrc")
    with pytest.raises(InputError, match="voxels are 3 nanometer"):
        tomoprior.compare(folder / "series.mrc", ["wbp"], truth=folder / "other.mrc", checks=[])


def test_what_is_neither_a_series_nor_a_file_is_one_line() -> None:
    with pytest.raises(InputError, match="a TiltSeries or the path of a file is needed, got ndarray"):
        tomoprior.reconstruct(SERIES.projections, "wbp")  # type: ignore[arg-type]
    with pytest.raises(NoSuchFileError, match=r"nowhere\.mrc: no such file"):
        tomoprior.compare("nowhere.mrc", ["wbp"])
