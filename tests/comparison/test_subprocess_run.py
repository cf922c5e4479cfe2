"""The end of a subprocess, whatever it is: a shell script stands in for the process, so that each takes no time."""

from __future__ import annotations

import pytest

from tomoprior.comparison import subprocess_run
from tomoprior.comparison.candidates import make_candidates
from tomoprior.comparison.store import Store
from tomoprior.comparison.subprocess_run import run_in_process


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Run a script as the process; returns the outcome, the store and the progress."""

    def start(script, *, budget=None, start=60.0, grace=5.0, prepare=lambda store: None):
        program = tmp_path / "program"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(subprocess_run.sys, "executable", str(program))
        monkeypatch.setattr(subprocess_run, "START", start)
        monkeypatch.setattr(subprocess_run, "GRACE", grace)
        store, steps = Store(tmp_path / "runs" / "sirt", "digest"), []
        prepare(store)
        candidate = make_candidates(["sirt"], {"sirt": {"num_iter": 4}})[0]
        outcome = run_in_process(tmp_path, candidate, store, (), budget=budget, step=lambda *step: steps.append(step))
        return outcome, store, steps

    return start


def test_a_process_that_ends_well_gives_what_it_stored(run):
    outcome, _, steps = run(
        """echo '["reconstruction", 0, 4]'; echo "a method that prints"; echo '["held_out", 4, 4]'""",
        prepare=lambda store: store.put("outcome", {"status": "done", "seconds": {"reconstruction": 1.0}}),
    )
    assert outcome == {"status": "done", "seconds": {"reconstruction": 1.0}}
    assert steps == [("reconstruction", 0, 4), ("held_out", 4, 4)]


def test_an_error_is_told_by_its_last_line(run):
    outcome, _, _ = run("echo Traceback >&2; echo 'ValueError: no luck' >&2; echo >&2; exit 3")
    assert outcome["status"] == "failed"
    assert outcome["message"] == "its process ended with 3: ValueError: no luck"
    assert outcome["settings"]["num_iter"] == 4
    assert run("exit 4")[0]["message"] == "its process ended with 4"


def test_a_signal_has_its_name(run):
    assert run("kill -SEGV $$")[0]["message"] == "its process was ended by SIGSEGV"
    assert run("kill -KILL $$")[0]["message"] == "its process was ended by SIGKILL (out of memory?)"


def test_no_outcome_is_a_failure(run):
    assert run("exit 0")[0]["message"] == "its process ended with 0"


@pytest.mark.parametrize("kept", [True, False])
def test_silence_ends_with_the_budget_and_is_remembered(run, kept):
    def prepare(store):
        if kept:
            store.put("reconstruction", {"seconds": 7.0, "complete": True})

    outcome, store, steps = run("""echo '["planted", 0, 4]'; sleep 60""", budget=0.2, grace=0.1, prepare=prepare)
    assert steps == [("planted", 0, 4)]
    assert outcome["status"] == "over budget"
    left = "the volume itself is complete, checks are missing" if kept else "no volume"
    assert outcome["message"] == f"killed after the budget of 0.2 s, which it did not keep to: {left}"
    assert outcome["seconds"] == ({"reconstruction": 7.0} if kept else {})
    assert store.get("outcome") == outcome


def test_a_process_that_never_starts_ends_too(run):
    assert run("sleep 60", budget=30, start=0.2)[0]["status"] == "over budget"


def test_after_its_first_word_a_process_has_its_budget(run):
    """A process may take 0.9 s to start; once it has, it may be silent for longer."""
    outcome, _, _ = run(
        """echo '["planted", 0, 4]'; sleep 1""",
        budget=30,
        start=0.9,
        prepare=lambda store: store.put("outcome", {"status": "done"}),
    )
    assert outcome == {"status": "done"}
