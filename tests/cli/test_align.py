"""``tomoprior align``, ``recon --align`` and ``recon --center auto``."""

from __future__ import annotations

import json
from functools import partial

import numpy as np
import pytest

from tomoprior import alignment
from tomoprior.alignment import AlignSettings, estimate_alignment
from tomoprior.alignment.saving import load_alignment
from tomoprior.formats import open_stack


@pytest.fixture
def kept_axis(monkeypatch):
    """``recon --align`` without the search of the tilt axis, which takes most of the time."""
    settings = AlignSettings(search="none", num_rounds=2)
    monkeypatch.setattr(alignment, "estimate_alignment", partial(estimate_alignment, settings=settings))


def test_align_writes_the_series_its_transforms_and_a_record(run, series_file, tmp_path):
    out = tmp_path / "aligned.mrc"
    done = run("align", series_file, "-o", out, "--tilt-axis", "0", "--set", "search=none")
    assert done.code == 0, done.err
    assert "residual" in done.out
    assert open_stack(out).data.shape == (25, 12, 32)
    assert len(out.with_suffix(".xf").read_text().splitlines()) == 25
    assert len(out.with_suffix(".tlt").read_text().splitlines()) == 25
    assert load_alignment(tmp_path / "aligned.mrc.json").axis_angle == 0.0
    again = run("align", series_file, "-o", out, "--tilt-axis", "0")
    assert again.code != 0
    assert "exists" in again.err


def test_align_takes_the_transforms_of_a_file(run, series_file, tmp_path):
    xf = tmp_path / "given.xf"
    xf.write_text("1 0 0 1 -2 1\n" * 25)
    done = run("align", series_file, "-o", tmp_path / "aligned.mrc", "--xf", xf)
    assert done.code == 0, done.err
    assert load_alignment(tmp_path / "aligned.mrc.json").shifts[0].tolist() == [-1.0, 2.0]


def test_align_does_not_overwrite_its_input(run, series_file):
    done = run("align", series_file, "-o", series_file, "--overwrite")
    assert done.code != 0
    assert "is an input of this run" in done.err


def test_recon_aligns_and_records_it(run, kept_axis, series_file, tmp_path):
    out = tmp_path / "volume.mrc"
    done = run("recon", series_file, "-o", out, "--align", "--set", "num_iter=5")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "volume.mrc.json").read_text())
    assert len(record["input"]["alignment"]["shifts"]) == 25


def test_the_slabs_of_a_volume_share_one_alignment(run, kept_axis, series_file, tmp_path):
    for name, more in (("whole", []), ("slabbed", ["--slab", "6"])):
        done = run("recon", series_file, "-o", tmp_path / f"{name}.npy", "--align", "--set", "num_iter=5", *more)
        assert done.code == 0, done.err
    records = [json.loads((tmp_path / f"{name}.npy.json").read_text()) for name in ("whole", "slabbed")]
    assert records[0]["input"]["alignment"]["shifts"] == records[1]["input"]["alignment"]["shifts"]
    np.testing.assert_allclose(np.load(tmp_path / "slabbed.npy"), np.load(tmp_path / "whole.npy"), atol=1e-5)


def test_the_centre_of_a_narrow_range_is_refused(run, series_file, tmp_path):
    done = run("recon", series_file, "-o", tmp_path / "volume.mrc", "--center", "auto")
    assert done.code != 0
    assert "120 degrees (150 are necessary)" in done.err


def test_align_draws_what_it_found(run, series_file, tmp_path):
    given = tmp_path / "given.xf"
    given.write_text("1 0 0 1 -2 1\n" * 25)
    run("align", series_file, "-o", tmp_path / "aligned.mrc", "--xf", given)
    assert (tmp_path / "aligned.png").read_bytes().startswith(b"\x89PNG")
