"""``tomoprior compare`` as a user runs it."""

from __future__ import annotations

import csv

import numpy as np
import pytest

import tomoprior
import tomoprior.comparison
from tomoprior.formats.writing import write
from tomoprior.reconstruction import Reconstruction


@pytest.fixture
def here(monkeypatch):
    """Methods in this process: a process for each costs seconds, and has tests of its own."""
    import tomoprior.comparison

    compare = tomoprior.comparison.compare
    monkeypatch.setattr(tomoprior.comparison, "compare", lambda *a, **k: compare(*a, **k, isolate=False))


@pytest.fixture
def truth_file(phantom, tmp_path):
    volume, series = phantom
    path = tmp_path / "truth.mrc"
    write(Reconstruction(volume, series.geometry), path)
    return path


def test_a_report_with_a_truth(run, here, series_file, truth_file, tmp_path):
    out = tmp_path / "report"
    ran = run(
        "compare", series_file, "-o", out, "-m", "wbp,sirt,more=sirt", "--set", "more.num_iter=150",
        "--set", "more.min_constraint=0", "--thickness", 16, "--truth", truth_file, "--volumes", "mrc",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    assert "By the truth (RMSE, scale and offset fitted)" in ran.out
    assert str(out / "report.html") in ran.out
    with (out / "table.csv").open() as file:
        rows = {row["label"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"wbp", "sirt", "more"}
    assert (out / "volumes" / "more.mrc").exists()
    alone = tmp_path / "alone.npy"
    assert run("recon", series_file, "-o", alone, "-m", "wbp", "--thickness", 16).code == 0
    np.testing.assert_array_equal(np.load(alone), np.load(out / "runs" / "wbp" / "volume.npy"))


def test_takes_the_input_options_of_recon(run, here, series_file, tmp_path):
    options = ["--thickness", 16, "--bin", 2, "--exclude", "0,3", "--flip-hand", "--center", 15.5]
    ran = run("compare", series_file, "-o", tmp_path / "out", "-m", "cgls", "--checks", "", *options)
    assert ran.code == 0, ran.err
    assert run("recon", series_file, "-o", tmp_path / "alone.npy", "-m", "cgls", *options).code == 0
    np.testing.assert_array_equal(np.load(tmp_path / "alone.npy"), np.load(tmp_path / "out" / "runs" / "cgls" / "volume.npy"))


def test_a_dry_run_tells_the_cost_and_writes_nothing(run, series_file, tmp_path):
    out = tmp_path / "out"
    arguments = ["compare", series_file, "-o", out, "-m", "wbp,sirt", "--thickness", 16, "--dry-run"]
    ran = run(*arguments)
    assert ran.code == 0, ran.err
    # one for the volume, one for held-out, one for planted, two for halves, seven trials: four filters, and three more cutoffs
    assert "estimate     wbp: 12 reconstructions (7 of 7 trials), about" in ran.out
    # sirt chooses by held-out tilts in every run
    assert "sirt: 5 reconstructions (0 of 7 trials: held-out tilts choose in every run what is not given), about" in ran.out
    assert "estimate     wbp: 5 reconstructions, about" in run(*arguments, "--no-tune").out
    assert "estimate     all: about" in ran.out
    assert "dry run: nothing was written" in ran.out
    assert not out.exists()


def test_a_second_run_tells_what_it_keeps_and_replaces_nothing_unasked(run, here, series_file, tmp_path):
    out = tmp_path / "out"
    arguments = ["compare", series_file, "-o", out, "-m", "wbp", "--no-tune", "--thickness", 16, "--checks", "held-out"]
    assert "kept" not in run(*arguments).out
    assert "kept         wbp: reconstruction, held-out of an earlier run" in run(*arguments).out
    before = (out / "report.html").read_bytes()
    ran = run(*arguments, "--set", "wbp.cutoff=0.5")
    assert ran.code == 2
    assert "holds results of wbp with other settings (cutoff 1" in ran.err
    assert "--overwrite" in ran.err
    assert ran.err.count("\n") == 1
    assert (out / "report.html").read_bytes() == before
    ran = run(*arguments, "--set", "wbp.cutoff=0.5", "--overwrite")
    assert ran.code == 0, ran.err
    assert (out / "report.html").read_bytes() != before


def test_all_failed_is_a_failure_and_still_a_report(run, here, series_file, tmp_path):
    # ASTRA's filtered back-projection has no bounds
    ran = run(
        "compare",
        series_file,
        "-o",
        tmp_path / "out",
        "-m",
        "astra.FBP",
        "--set",
        "astra.FBP.min_constraint=0",
        "--thickness",
        16,
    )
    assert ran.code == 1
    assert "failed       astra.FBP: astra.FBP has no bounds" in ran.out
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-m", "wpb"], "no method is called 'wpb'; did you mean wbp?"),
        (["-m", "wbp,wbp"], "named twice"),
        (["-m", "wbp", "--set", "cutoff=0.5"], "METHOD.NAME=VALUE"),
        (["-m", "wbp", "--set", "wbp.cutof=0.5"], "no setting is called 'cutof'"),
        (["-m", "wbp", "--budget", "soon"], "90s, 5min or 2h"),
        (["-m", "wbp", "--checks", "all"], "no check is called 'all'"),
        (["-m", "wbp", "--volumes", "png"], "mrc or zarr"),
        (["-m", "wbp", "--thickness", "20", "--truth", "TRUTH"], "the truth has shape"),
        (["-m", "wbp", "--thickness", "16", "--truth", "TRUTH", "--voxel-size", "3", "--unit", "nm"], "the grid's 3 nanometer"),
        (["-m", "wbp", "--exclude", "1-1000"], "tilt"),
    ],
)
def test_bad_input_is_one_line_before_any_work(run, series_file, truth_file, tmp_path, arguments, message):
    out = tmp_path / "out"
    ran = run("compare", series_file, "-o", out, *[truth_file if a == "TRUTH" else a for a in arguments])
    assert ran.code == 2
    assert message in ran.err
    assert ran.err.count("\n") == 1
    assert not out.exists()


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), ("90s", 90), ("5min", 300), ("1.5 h", 5400), ("2m", 120)])
def test_times(text, seconds):
    from tomoprior.cli.parse import seconds as parsed

    assert parsed(text) == seconds


def test_the_function_is_public():
    assert tomoprior.compare is tomoprior.comparison.compare
