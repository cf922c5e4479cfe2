from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tomoprior.errors import FormatError, InputError, OutputExistsError
from tomoprior.training.outputs import Outputs


@pytest.fixture
def outputs(tmp_path):
    return Outputs(tmp_path / "p.safetensors")


def test_files_lie_beside_the_prior(outputs):
    names = [path.name for path in (outputs.state, outputs.log, outputs.lock)]
    assert names == ["p.state.safetensors", "p.csv", "p.lock"]


def test_a_second_training_is_refused_while_the_first_lasts(outputs):
    with outputs.locked():
        assert outputs.lock.read_text() == f"{os.getpid()}\n"
        for attempt in (outputs.locked().__enter__, lambda: outputs.check(overwrite=False)):
            with pytest.raises(FormatError, match=f"process {os.getpid()} trains it already"):
                attempt()
        with Outputs(outputs.prior.with_name("q.safetensors")).locked():
            pass
    assert not outputs.lock.exists()
    with outputs.locked():
        pass


def test_the_lock_goes_when_the_training_fails(outputs):
    with pytest.raises(ZeroDivisionError), outputs.locked():
        _ = 1 / 0
    assert not outputs.lock.exists()


def test_the_lock_of_a_dead_process_is_taken_over(outputs):
    code = (
        "import os, pathlib, signal, sys; from tomoprior.training.outputs import Outputs\n"
        "with Outputs(pathlib.Path(sys.argv[1])).locked(): os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(outputs.prior)], timeout=60, check=False)
    assert killed.returncode == -9
    assert outputs.lock.exists()
    outputs.check(overwrite=False)
    with outputs.locked():
        assert outputs.lock.read_text() == f"{os.getpid()}\n"


def test_of_several_at_once_one_gets_the_lock(outputs):
    barrier = threading.Barrier(8)
    release = threading.Event()

    def attempt(_):
        barrier.wait()
        try:
            with outputs.locked():
                release.wait(30)
        except FormatError:
            return False
        return True

    for _ in range(20):
        release.clear()
        with ThreadPoolExecutor(8) as pool:
            tries = [pool.submit(attempt, i) for i in range(8)]
            while sum(t.done() for t in tries) < 7:
                time.sleep(0.001)
            release.set()
            assert sum(t.result() for t in tries) == 1
        assert not outputs.lock.exists()


def test_a_file_system_without_locks_goes_by_the_number_of_the_process(outputs, monkeypatch):
    def none(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", none)
    outputs.lock.write_text(f"{os.getppid()}\n")
    with pytest.raises(FormatError, match=f"process {os.getppid()} trains it already"), outputs.locked():
        pass
    outputs.lock.write_text("999999999\n")
    with outputs.locked():
        assert outputs.lock.read_text() == f"{os.getpid()}\n"


def test_what_a_killed_process_was_writing_is_cleared_away(outputs):
    rest = [outputs.prior.with_name(f".{p.name}.0123abcd.part{p.suffix}") for p in (outputs.prior, outputs.state, outputs.log)]
    others = [
        outputs.prior.with_name(n) for n in (".q.safetensors.0123abcd.part.safetensors", "p.safetensors.part", "notes.csv")
    ]
    for path in (*rest, *others):
        path.write_text("")
    with outputs.locked():
        assert not any(path.exists() for path in rest)
        assert all(path.exists() for path in others)


def test_existing_files_are_not_replaced_without_overwrite(outputs):
    outputs.log.write_text("mine")
    with pytest.raises(OutputExistsError, match=r"p\.csv exists"):
        outputs.check(overwrite=False)
    outputs.state.write_text("")  # then it is the log of the training that goes on
    outputs.check(overwrite=False)
    outputs.prior.write_text("")
    with pytest.raises(OutputExistsError, match=r"p\.safetensors exists"):
        outputs.check(overwrite=False)
    outputs.check(overwrite=True)


def test_names_that_cannot_be(tmp_path):
    with pytest.raises(InputError, match=r"must end in \.safetensors"):
        Outputs(tmp_path / "prior").check(overwrite=False)
    with pytest.raises(FormatError, match="no such folder"):
        Outputs(tmp_path / "none" / "p.safetensors").check(overwrite=False)
    (tmp_path / "p.safetensors").mkdir()
    with pytest.raises(FormatError, match="a folder"):
        Outputs(tmp_path / "p.safetensors").check(overwrite=True)


@pytest.mark.parametrize("name", ["state", "log"])
def test_a_link_in_the_place_of_a_file_of_a_training_is_refused(outputs, name):
    thesis = outputs.prior.with_name("thesis.txt")
    thesis.write_text("years of work")
    getattr(outputs, name).symlink_to(thesis)
    for attempt in (outputs.locked().__enter__, lambda: outputs.check(overwrite=True)):
        with pytest.raises(OutputExistsError, match="is a link, which a training never writes"):
            attempt()
    assert thesis.read_text() == "years of work"
    assert not outputs.lock.exists()
