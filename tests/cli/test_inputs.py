"""Every command that reads a series has the same options for it, and gets the same series."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest

from tomoprior.cli import recon
from tomoprior.cli.inputs import SeriesOptions
from tomoprior.cli.opening import open_series
from tomoprior.errors import InputError
from tomoprior.formats import write_series
from tomoprior.series import TiltSeries


def test_every_option_of_the_series_is_one_of_the_command():
    options = inspect.signature(recon.recon).parameters
    for field in fields(SeriesOptions):
        default = options[field.name].default
        assert field.name == "file" or field.default == default, field.name


def test_what_is_read_later_is_the_same_series(phantom, tmp_path, capsys):
    data = phantom[1].projections.copy()
    data[4, 5, 6] = np.nan
    write_series(TiltSeries(data, phantom[1].geometry), tmp_path / "series.mrc")
    given = SeriesOptions(
        file=tmp_path / "series.mrc", exclude="0,3", angle_range=(-60, 50), bin=3, thickness=18, flip_hand=True, repair=True
    )
    opened = open_series(given)
    assert "leaving out  0 (-60.0 deg), 3 (-45.0 deg)" in capsys.readouterr().out
    now, notes = opened.prepared()
    later, told = opened.prepared(lazily=True)
    np.testing.assert_array_equal(later.projections[...], now.projections)
    assert isinstance(now.projections, np.ndarray)
    assert not isinstance(later.projections, np.ndarray)
    assert now.geometry.to_dict() == later.geometry.to_dict()
    assert now.geometry.shape == opened.geometry.shape == (6, 4, 10)
    left_out = "binning by 3 leaves out the last 0 row(s) and 2 column(s)"
    assert notes[-2:] == ["repaired 1 pixel(s)", left_out]
    assert told[-1] == left_out


def test_pixels_that_are_not_finite_are_refused_only_where_all_are_read(phantom, tmp_path):
    data = phantom[1].projections.copy()
    data[4, 5, 6] = np.nan
    write_series(TiltSeries(data, phantom[1].geometry), tmp_path / "series.mrc")
    opened = open_series(SeriesOptions(file=tmp_path / "series.mrc"))
    with pytest.raises(InputError, match="1 pixel"):
        opened.prepared()
    later, _ = opened.prepared(lazily=True)
    assert np.isnan(later.projections[4, 5, 6])


def test_files_that_are_read_are_named(tmp_path):
    given = SeriesOptions(file=tmp_path / "a.mrc", angles=tmp_path / "a.tlt", shifts=tmp_path / "a.xf")
    assert given.files == [tmp_path / "a.mrc", tmp_path / "a.tlt", tmp_path / "a.xf"]
    assert SeriesOptions(file=tmp_path / "a.mrc").files == [tmp_path / "a.mrc"]


@pytest.fixture
def fxi(tmp_path):
    """Counts of two arrays in one file, so that the one to read has to be named: 100 above a dark level of 20, flats of 220."""
    import h5py

    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as f:
        f["a/tilts"], f["a/white"] = np.full((7, 4, 16), 120, "u2"), np.full((2, 4, 16), 220, "u2")
        f["a/black"], f["a/turn"], f["a/key"] = (
            np.full((2, 4, 16), 20, "u2"),
            np.arange(0, 180, 25.0)[:7],
            [0, 0, 0, 1, 0, 0, 0],
        )
    return path


def test_arrays_of_a_file_are_named_by_options(fxi, tmp_path):
    options = {"dataset": "a/tilts", "angles_dataset": "a/turn", "flats": "a/white", "darks": "a/black", "minus_log": True}
    series, _ = open_series(SeriesOptions(file=fxi, **options)).prepared()
    np.testing.assert_allclose(series.projections, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(np.rad2deg(series.geometry.angles), np.arange(0, 180, 25.0)[:7])
    keyed = open_series(SeriesOptions(file=fxi, dataset="a/tilts", angles_dataset="a/turn", image_key="a/key"))
    assert keyed.series.geometry.n_angles == 6


def test_a_command_reads_named_arrays_and_a_range_of_angles(fxi, tmp_path, run):
    named = ("--dataset", "a/tilts", "--flats", "a/white", "--darks", "a/black", "--minus-log")
    done = run("recon", fxi, "-o", tmp_path / "v.npy", "-m", "wbp", "--angles=0:150:25", *named)
    assert done.code == 0, done.err
    assert "7 tilts from 0 to 150 degrees" in done.out
    assert run("recon", fxi, "-o", tmp_path / "w.npy", "-m", "wbp", "--angles=0:150:25").err.count("--dataset NAME") == 1
    assert "7 from 0 to 150 degrees" in run("info", fxi, "--dataset", "a/tilts", "--angles-dataset", "a/turn").out


def test_bright_field_counts_are_refused_and_then_read(phantom, tmp_path, run):
    geometry = phantom[1].geometry
    thickness = phantom[1].projections
    counts = np.rint(3000 * np.exp(-0.02 * thickness)).astype(np.uint16)
    write_series(TiltSeries(counts, geometry), tmp_path / "bf.mrc")
    refused = run("recon", tmp_path / "bf.mrc", "-o", tmp_path / "v.npy", "-m", "wbp", "--minus-log")
    assert refused.code == 2
    assert "no transmissions" in refused.err
    assert "--i0" in refused.err
    given = open_series(SeriesOptions(file=tmp_path / "bf.mrc", i0="3000")).prepared()[0]
    np.testing.assert_allclose(given.projections, 0.02 * thickness, atol=5e-4)
    inverted = open_series(SeriesOptions(file=tmp_path / "bf.mrc", invert=True)).prepared()[0]
    assert inverted.projections.min() >= 0
    np.testing.assert_allclose(inverted.projections.max(), 3000.0 - counts.min())


def test_info_says_why_angles_are_not_used(tmp_path, run):
    import h5py

    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["exchange/data"], f["exchange/theta"] = np.ones((5, 2, 8)), np.zeros(5)
    done = run("info", tmp_path / "a.h5")
    assert "angles       none that can be used" in done.out
    assert "all 5 angles are 0" in done.out
