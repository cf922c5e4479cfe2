"""The work of a subprocess, done in this process: it gets all of its job from two files."""

from __future__ import annotations

import json

import pytest

from tomoprior.comparison import worker
from tomoprior.comparison.candidates import make_candidates
from tomoprior.comparison.shared import SharedInput
from tomoprior.comparison.store import Store


@pytest.fixture
def work(series, tmp_path, capsys):
    def run(name, settings=None, *, checks=(), tune=False, budget=None):
        (candidate,) = make_candidates([name], {name: settings or {}})
        store = Store(tmp_path / "runs" / name, "digest")
        SharedInput(series).save(tmp_path / "data")
        job = worker.describe_job(candidate, store, checks, tune=tune, budget=budget)
        (tmp_path / "data" / "job.json").write_text(json.dumps(job), encoding="utf-8")
        assert worker.main(tmp_path / "data") == 0
        return store, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_settings_of_the_user_are_not_tuned(work):
    store, _ = work("wbp", {"filter_name": "hann", "cutoff": 0.5}, tune=True)
    assert store.get("tuned")["trials"] == []
    assert store.get("tuned")["why"] == "its settings are given"
    assert store.get("outcome")["settings"]["cutoff"] == 0.5


def test_tuning_and_checks_are_done_as_wanted(work):
    store, lines = work("wbp", {"cutoff": 0.5}, checks=("held_out",), tune=True)
    assert store.finished_parts() == ["tuned", "reconstruction", "held_out"]
    assert {trial["values"]["filter_name"] for trial in store.get("tuned")["trials"]} >= {"ramp", "hann"}
    assert store.get("reconstruction")["memory"] >= 0  # nothing else runs in a process of its own
    stages = list(dict.fromkeys(stage for stage, _, _ in lines))
    assert stages[-2:] == ["reconstruction", "held_out"]
    assert all(stage.startswith("tuning filter_name=") for stage in stages[:-2])


def test_a_job_has_its_budget(work):
    store, _ = work("sirt", {"num_iter": 2}, budget=1e-9)
    assert store.get("outcome")["status"] == "over budget"
    assert store.get("reconstruction") is None


def test_a_stopped_job_says_so(work, monkeypatch):
    def stop(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(worker.Evaluation, "run", stop)
    with pytest.raises(AssertionError, match="130"):
        work("wbp")
