"""What is recorded is safe, one run has an output at a time, and another run is not taken for the same."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.running.slabs.journal import Journal, digest
from tomoprior.running.slabs.records import write_record

HOLD = """
import sys
from pathlib import Path
from tomoprior.running.slabs.journal import Journal
with Journal(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def journal(tmp_path):
    return Journal(tmp_path / "volume.zarr")


def test_records_come_back_in_order(journal):
    with journal.locked():
        journal.begin({"method": "sirt"})
        for number in (7, 0, 12):
            journal.commit(number, {"rows": [number, number + 1]})
        (journal.folder / "slabs" / "00003.json").write_text('{"rows": [')  # of a writer that was killed: counts as nothing
    assert journal.run == {"program": "tomoprior", "version": 1, "method": "sirt"}
    assert list(journal.done()) == [0, 7, 12]
    assert journal.done()[7] == {"rows": [7, 8]}


def test_a_run_that_differs_is_told_what_differs(journal):
    with journal.locked():
        journal.begin({"method": "sirt", "settings": {"num_iter": 5, "pad": 0}, "seed": 0})
        journal.check({"method": "sirt", "settings": {"num_iter": 5, "pad": 0}, "seed": 0})
        with pytest.raises(InputError, match=r"another settings: num_iter \(5, now 6\)"):
            journal.check({"method": "sirt", "settings": {"num_iter": 6, "pad": 0}, "seed": 0})
        with pytest.raises(InputError, match=r'another method \("sirt", now "tv"\)'):
            journal.check({"method": "tv", "settings": {"num_iter": 5, "pad": 0}, "seed": 0})


def test_another_process_is_refused_until_the_first_has_ended_in_any_way(journal):
    command = [sys.executable, "-c", HOLD, str(journal.out)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(OutputExistsError, match=f"is being written by process {first.pid} on"), journal.locked():
            pass
        first.kill()
        first.wait()
    with journal.locked():
        journal.begin({})
    assert journal.run is not None


def test_a_run_that_did_not_begin_leaves_nothing(journal):
    with pytest.raises(RuntimeError), journal.locked():
        raise RuntimeError
    assert not journal.folder.exists()


def test_a_broken_journal_is_told_in_one_line(journal):
    with journal.locked():
        journal.begin({})
        (journal.folder / "run.json").write_text("{")
        with pytest.raises(FormatError, match=r"remove .* to begin anew"):
            _ = journal.run


def test_what_cannot_be_written_leaves_no_half_file(tmp_path):
    with pytest.raises(TypeError):
        write_record(tmp_path / "a.json", {"a": object()})
    assert list(tmp_path.iterdir()) == []


def test_digests_tell_shape_and_type_apart():
    a = np.zeros((2, 3), np.float32)
    assert len({digest(v) for v in (a, a.reshape(3, 2), a.astype(np.int32), a + 1)}) == 4
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1})
