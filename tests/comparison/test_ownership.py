"""A comparison writes through no link in its folder, and its processes import nothing from the working folder."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import pytest

import tomoprior.comparison
from tomoprior.comparison.report import write_report
from tomoprior.comparison.store import MARK
from tomoprior.errors import OutputExistsError

compare = partial(tomoprior.comparison.compare, methods=["wbp"], tune=False, checks=[])


@pytest.fixture
def thesis(tmp_path: Path) -> Path:
    """A folder of somebody with one file."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    return tmp_path / "mine" / "thesis.txt"


@pytest.mark.parametrize(
    "name",
    [
        MARK, "runs", "runs/wbp", "runs/wbp/outcome.json", "runs/wbp/volume.npy", "volumes", "volumes/wbp.mrc", "report.html",
        "metrics.json", "figures", "figures/slices.png",
    ],
)  # fmt: skip
def test_a_link_in_the_place_of_a_file_of_ours_is_refused(series, tmp_path, thesis, name):
    out = tmp_path / "out"
    compare(series, out=out, isolate=False, volumes="mrc")
    path = out / name
    if path.is_dir():
        path.rename(tmp_path / "moved")
        path.symlink_to(thesis.parent)
    else:
        path.unlink(missing_ok=True)
        path.symlink_to(thesis)
    for more in ({}, {"overwrite": True}):
        with pytest.raises(OutputExistsError, match=r"is a link, which a (comparison|report) never writes"):
            compare(series, out=out, isolate=False, volumes="mrc", **more)
    assert [p.name for p in thesis.parent.iterdir()] == ["thesis.txt"]
    assert thesis.read_text() == "years of work"


def test_a_report_alone_writes_through_no_link(found, tmp_path, thesis):
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "table.csv").symlink_to(thesis)
    with pytest.raises(OutputExistsError, match=r"table\.csv is a link"):
        write_report(found, tmp_path / "report", overwrite=True)
    assert thesis.read_text() == "years of work"


def test_a_pipe_among_the_results_does_not_wait_for_a_writer(series, tmp_path):
    (tmp_path / "out" / "runs" / "wbp").mkdir(parents=True)
    (tmp_path / "out" / MARK).touch()
    os.mkfifo(tmp_path / "out" / "runs" / "wbp" / "outcome.json")
    with pytest.raises(OutputExistsError, match="is a pipe, a socket or a device"):
        compare(series, out=tmp_path / "out", isolate=False)


def test_the_process_of_a_method_imports_nothing_from_the_working_folder(series, tmp_path, monkeypatch):
    for module in ("numpy", "torch", "json", "tomoprior"):
        (tmp_path / f"{module}.py").write_text(f"open('{tmp_path}/intruder', 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    assert compare(series, isolate=True)["wbp"].status == "done"
    assert not (tmp_path / "intruder").exists()
