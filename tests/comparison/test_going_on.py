"""Processes, budgets, interruptions, and tuning."""

from __future__ import annotations

import json
import time
from functools import partial

import numpy as np
import pytest

import tomoprior.comparison
from tomoprior.errors import Interrupted, OutputExistsError
from tomoprior.reconstruction import Reconstruction

from .conftest import named

#: Without trials, unless a test wants them.
compare = partial(tomoprior.comparison.compare, tune=False)


def counted():
    """A method that counts how often it ran."""
    calls: list[int] = []

    def volume(self, projections, projector, settings, progress):
        calls.append(projector.geometry.n_angles)
        return type(self).__mro__[1].volume(self, projections, projector, settings, progress)

    return named("counted", volume=volume), calls


def test_what_is_done_is_not_done_again(series, tmp_path):
    method, calls = counted()
    first = compare(series, [method], out=tmp_path / "out", isolate=False)
    made = len(calls)
    assert made == 5
    again = compare(series, [method, "wbp"], out=tmp_path / "out", isolate=False)
    assert len(calls) == made
    np.testing.assert_array_equal(again["counted"].volume, first["counted"].volume)
    assert again["counted"].evidence["halves"] == first["counted"].evidence["halves"]
    assert again["wbp"].status == "done"
    assert again.about["kept"] == {"counted": ["reconstruction", "held_out", "planted", "halves"]}
    assert first.about["kept"] == {}


def test_other_results_in_the_folder_are_kept_unless_they_may_be_replaced(series, tmp_path):
    method, calls = counted()
    out = tmp_path / "out"
    compare(series, [method, "wbp"], out=out, isolate=False, checks=["held_out"])
    report, volume = (out / "report.html").read_bytes(), (out / "runs" / "counted" / "volume.npy").read_bytes()
    for changed, methods, settings, message in [
        (series, [method, "wbp"], {"counted": {"num_iter": 4}}, r"results of counted with other settings \(num_iter 3\)"),
        (series.flipped_hand(), [method, "wbp"], {}, "results of counted with other data"),
        (series, [method], {}, "also covers wbp"),
    ]:
        with pytest.raises(OutputExistsError, match=message):
            compare(changed, methods, settings=settings, out=out, isolate=False, checks=[])
    assert len(calls) == 2
    assert (out / "report.html").read_bytes() == report
    assert (out / "runs" / "counted" / "volume.npy").read_bytes() == volume
    settings = {"counted": {"num_iter": 4}}
    compare(series, [method], settings=settings, out=out, isolate=False, checks=[], overwrite=True)
    assert len(calls) == 3
    # what was replaced is gone for good: the same call again finds nothing of the first
    compare(series, [method], settings=settings, out=out, isolate=False, checks=[])
    assert len(calls) == 3


def test_an_interruption_keeps_what_is_done(series, tmp_path):
    seen = []

    def step(label, stage, iteration, num_iter):
        seen.append(stage)
        if stage == "planted":
            raise KeyboardInterrupt

    method, calls = counted()
    with pytest.raises(KeyboardInterrupt):
        compare(series, [method], out=tmp_path / "out", isolate=False, progress=step)
    assert len(calls) == 2
    assert not (tmp_path / "out" / "report.html").exists()
    result = compare(series, [method], out=tmp_path / "out", isolate=False)
    assert len(calls) == 5
    assert set(result["counted"].evidence) >= {"held_out", "planted", "halves"}
    assert (tmp_path / "out" / "report.html").exists()


def test_a_broken_part_is_made_anew(series, tmp_path):
    method, calls = counted()
    compare(series, [method], out=tmp_path / "out", isolate=False, checks=["held_out"])
    part = tmp_path / "out" / "runs" / "counted" / "held_out.json"
    part.write_text(part.read_text()[:40])
    result = compare(series, [method], out=tmp_path / "out", isolate=False, checks=["held_out"])
    assert len(calls) == 3
    assert "held_out" in result["counted"].evidence


def slow(self, projections, projector, settings, progress):
    x = projector.T(projections)
    for i in range(1000):
        time.sleep(0.02)
        progress(i + 1, 1000, {})
    return x


def test_a_budget_ends_one_and_not_the_others(series):
    started = time.monotonic()
    result = compare(series, [named("slow", volume=slow), "wbp"], budget=0.5, isolate=False, checks=["held_out"])
    assert time.monotonic() - started < 10
    assert result["slow"].status == "over budget"
    assert result["slow"].volume is None
    assert "0.5 s" in result["slow"].message
    assert result["wbp"].status == "done"


def test_a_method_that_keeps_what_it_has_keeps_it_at_the_end_of_its_budget(series):
    def keeps(self, projections, projector, settings, *, weights=None, initial=None, mask=None, progress=None):
        try:
            slow(self, projections, projector, settings, progress)
        except KeyboardInterrupt:
            raise Interrupted(Reconstruction(projector.T(projections), projector.geometry)) from None

    result = compare(series, [named("keeps", reconstruct=keeps)], budget=0.3, isolate=False)
    entry = result["keeps"]
    assert entry.status == "over budget"
    assert entry.volume is not None
    assert "the best one by then" in entry.message
    assert "held_out" not in entry.evidence


def test_in_processes_of_their_own(series, tmp_path):
    here = compare(series, ["cgls"], isolate=False, checks=["held_out"])
    steps = []
    there = compare(
        series, ["cgls"], out=tmp_path / "out", checks=["held_out"], progress=lambda *a: steps.append(a[:2]), budget=300
    )
    np.testing.assert_array_equal(there["cgls"].volume, here["cgls"].volume)
    assert there["cgls"].evidence["held_out"] == here["cgls"].evidence["held_out"]
    assert there["cgls"].memory >= 0
    assert ("cgls", "reconstruction") in steps
    assert not list((tmp_path / "out" / "runs").glob(".data*"))


PLUGIN = """
import os, signal, time
from tomoprior.methods import get
SIRT = type(get("sirt"))

class Crash(SIRT):
    name = "crash"
    def solve(self, problem, settings, monitor):
        os.kill(os.getpid(), signal.SIGSEGV)

class Deaf(SIRT):
    name = "deaf"
    def solve(self, problem, settings, monitor):
        time.sleep(600)
"""


def test_a_crash_and_a_method_that_hangs_harm_no_other(series, tmp_path, monkeypatch):
    """Third-party methods, found by entry points: one takes its process down, one never says how far it is."""
    from tomoprior import plugins
    from tomoprior.comparison import run, subprocess_run

    package = tmp_path / "site"
    info = package / "tomoprior_bad-1.dist-info"
    info.mkdir(parents=True)
    (package / "tomoprior_bad.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tomoprior-bad\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[tomoprior.methods]\ncrash = tomoprior_bad:Crash\ndeaf = tomoprior_bad:Deaf\n")
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setenv("PYTHONPATH", str(package))

    def run_in_process(folder, candidate, *args, budget, **kwargs):
        # the silent process is killed two seconds after its first word; a loaded machine may take the budget for the others
        monkeypatch.setattr(subprocess_run, "GRACE", 2 - budget if candidate.label == "deaf" else 5)
        return subprocess_run.run_in_process(folder, candidate, *args, budget=budget, **kwargs)

    monkeypatch.setattr(run, "run_in_process", run_in_process)
    plugins._entries.cache_clear()
    try:
        result = compare(series, ["crash", "deaf", "wbp"], budget=300, checks=[])
    finally:
        plugins._entries.cache_clear()
    assert result["crash"].status == "failed"
    assert "SIGSEGV" in result["crash"].message
    assert result["deaf"].status == "over budget"
    assert "killed" in result["deaf"].message
    assert "did not keep to" in result["deaf"].message
    assert result["wbp"].status == "done"


def test_tuning_goes_by_tilts_that_the_judgement_does_not_use(series):
    method, calls = counted()
    type(method).tunable = {"num_iter": (1, 3, 40)}
    result = compare(series, [method], tune=True, isolate=False, checks=["held_out"])
    tuned = result["counted"].evidence["tuned"]
    errors = {t["values"]["num_iter"]: t["error"] for t in tuned["trials"]}
    assert set(errors) == {1, 3, 40}
    assert tuned["why"] == "num_iter: no other values"
    assert tuned["values"] == {"num_iter": min(errors, key=errors.get)} == {"num_iter": 40}
    assert result["counted"].settings["num_iter"] == 40
    assert calls[:3] == [16, 16, 16]  # of 25 tilts 5 are for the judgement, and 4 of the rest judge the trials


def test_what_the_user_gives_is_not_tuned(series):
    method, calls = counted()
    type(method).tunable = {"num_iter": (1, 40)}
    result = compare(series, [method], settings={"counted": {"num_iter": 2}}, tune=True, isolate=False, checks=[])
    assert result["counted"].settings["num_iter"] == 2
    assert len(calls) == 1
    assert result["counted"].evidence["tuned"]["trials"] == []
    assert result["counted"].evidence["tuned"]["why"] == "its settings are given"


def test_values_that_cannot_be_tried_are_noted(series):
    def picky(self, projections, projector, settings, progress):
        from tomoprior.errors import InputError

        if settings.num_iter == 7:
            raise InputError("seven is no number of iterations")
        return type(self).__mro__[1].volume(self, projections, projector, settings, progress)

    method = named("picky", volume=picky, tunable={"num_iter": (7, 20)})
    tuned = compare(series, [method], tune=True, isolate=False, checks=[])["picky"].evidence["tuned"]
    assert tuned["values"] == {"num_iter": 20}
    refused = next(t for t in tuned["trials"] if t["values"]["num_iter"] == 7)
    assert refused["message"].startswith("seven")


def test_the_folder(series, truth, tmp_path):
    out = tmp_path / "out"
    compare(series, ["wbp"], out=out, isolate=False, checks=[])
    (out / "runs" / ".data-of-a-run-that-was-killed").mkdir()
    compare(series, ["wbp", "cgls"], truth=truth, out=out, volumes="mrc", isolate=False)
    assert {p.name for p in (out / "runs").iterdir()} == {"wbp", "cgls"}
    names = {p.name for p in out.iterdir()}
    assert {"report.html", "table.csv", "metrics.json", "figures", "runs", "volumes"} <= names
    assert {p.name for p in (out / "volumes").iterdir()} >= {"wbp.mrc", "cgls.mrc"}
    json.loads((out / "metrics.json").read_text())
