"""Every command that reads a series has the same options for it, and gets the same series."""

from __future__ import annotations

import inspect
from dataclasses import fields

import numpy as np
import pytest

from tomoprior.cli import recon
from tomoprior.cli.inputs import SeriesOptions
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
    opened = given.opened()
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
    opened = SeriesOptions(file=tmp_path / "series.mrc").opened()
    with pytest.raises(InputError, match="1 pixel"):
        opened.prepared()
    later, _ = opened.prepared(lazily=True)
    assert np.isnan(later.projections[4, 5, 6])


def test_files_that_are_read_are_named(tmp_path):
    given = SeriesOptions(file=tmp_path / "a.mrc", angles=tmp_path / "a.tlt", shifts=tmp_path / "a.xf")
    assert given.files == [tmp_path / "a.mrc", tmp_path / "a.tlt", tmp_path / "a.xf"]
    assert SeriesOptions(file=tmp_path / "a.mrc").files == [tmp_path / "a.mrc"]
