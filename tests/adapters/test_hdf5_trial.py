"""Metadata on which the HDF5 library fails are met by a process of their own."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from tomoprior.adapters.hdf5 import trial
from tomoprior.errors import FormatError
from tomoprior.formats import open_stack


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["exchange/data"] = np.ones((3, 4, 5), np.float32)
        file["exchange/theta"] = np.arange(3.0)
        file["exchange/theta"].attrs["units"] = "degrees"
        file["elsewhere"] = h5py.SoftLink("/exchange/theta")
        file["nowhere"] = h5py.ExternalLink("none.h5", "a")
    return tmp_path / "a.h5"


def test_a_whole_file_passes_and_is_tried_once(path, monkeypatch):
    calls = []
    run = trial.subprocess.run
    monkeypatch.setattr(trial.subprocess, "run", lambda *a, **k: (calls.append(a), run(*a, **k))[1])
    for _ in range(3):
        assert open_stack(path).angles is not None
    assert len(calls) == 1
    with h5py.File(path, "a") as file:
        file.attrs["new"] = 1
    open_stack(path)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("os.kill(os.getpid(), signal.SIGSEGV)", r"crashes \(SIGSEGV\)"),
        ("while True: pass", "does not come to an end within 1 s of processor time"),
    ],
)
def test_a_crash_and_a_loop_are_one_error(path, tmp_path, monkeypatch, fault, words):
    program = Path(trial.__file__).read_text().replace("ENOUGH, SECONDS = 5, 15", "ENOUGH, SECONDS = 5, 1")
    broken = tmp_path / "trial.py"
    broken.write_text(program.replace("            item.attrs[key]\n", f"            {fault}\n"))
    assert fault in broken.read_text()
    assert "SECONDS = 5, 1\n" in broken.read_text()
    monkeypatch.setattr(trial, "__file__", str(broken))
    monkeypatch.setattr(trial, "SECONDS", 1)
    trial._try.cache_clear()
    with pytest.raises(FormatError, match=f"damaged, the HDF5 library {words} on it"):
        open_stack(path)


def test_a_loop_behind_a_broken_object_is_met(path, tmp_path, monkeypatch):
    """An object that cannot be opened must not end the visit of those after it."""
    with h5py.File(path, "a") as file:
        file["a_broken"] = np.ones(3)
        file["z_behind/deep"] = np.ones(3)
        file["z_behind/deep"].attrs["loop"] = 1
        at = h5py.h5o.get_info(file["a_broken"].id).addr
    with path.open("r+b") as raw:
        raw.seek(at)
        raw.write(b"\xff" * 4)  # the version of the object's header
    with h5py.File(path, "r") as file:
        with pytest.raises(KeyError):
            file["a_broken"]
        assert list(file) == sorted(file)  # so the broken object is met before the loop
    looping = tmp_path / "trial.py"
    program = Path(trial.__file__).read_text().replace("ENOUGH, SECONDS = 5, 15", "ENOUGH, SECONDS = 5, 1")
    looping.write_text(program.replace("            item.attrs[key]\n", "            while key == 'loop': pass\n"))
    assert "while key == 'loop'" in looping.read_text()
    monkeypatch.setattr(trial, "__file__", str(looping))
    monkeypatch.setattr(trial, "SECONDS", 1)
    trial._try.cache_clear()
    with pytest.raises(FormatError, match="does not come to an end within 1 s of processor time"):
        open_stack(path)


def test_metadata_beyond_what_is_tried_are_no_fault(path, tmp_path, monkeypatch):
    """A valid file may hold more than a trial reads in its time."""
    hasty = tmp_path / "trial.py"
    hasty.write_text(Path(trial.__file__).read_text().replace("ENOUGH, SECONDS = 5", "ENOUGH, SECONDS = 0"))
    monkeypatch.setattr(trial, "__file__", str(hasty))
    assert "SECONDS = 0, 15\n" in hasty.read_text()
    trial._try.cache_clear()
    assert open_stack(path).angles is not None
    monkeypatch.undo()
    read = []
    monkeypatch.setattr(trial, "_read", lambda item: read.append(item.name))
    monkeypatch.setattr(trial.resource, "setrlimit", lambda *_: None)
    monkeypatch.setattr(trial, "ENOUGH", 0)
    trial._read_everything(str(path))
    assert read == ["/"]


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "was ended by SIGKILL"),
        ("import no_such_module", "failed: ModuleNotFoundError: No module named 'no_such_module'"),
    ],
)
def test_a_trial_that_did_not_take_place_is_not_taken_for_one(path, tmp_path, monkeypatch, program, words):
    other = tmp_path / "trial.py"
    other.write_text(program)
    file = trial.__file__
    monkeypatch.setattr(trial, "__file__", str(other))
    trial._try.cache_clear()
    with pytest.raises(FormatError, match=rf"not read, no process can try its metadata \(.*{words}"):
        open_stack(path)
    monkeypatch.setattr(trial, "__file__", file)
    assert open_stack(path).angles is not None  # the next call tries again


def test_a_process_that_cannot_start_is_one_line(path, monkeypatch):
    monkeypatch.setattr(trial.sys, "executable", "/nowhere/python")
    trial._try.cache_clear()
    with pytest.raises(FormatError, match=r"no process can try its metadata .*No such file"):
        open_stack(path)


def test_a_crash_is_noticed_where_exit_codes_are_lost(path, tmp_path, monkeypatch):
    """Where SIGCHLD is ignored, the system keeps no exit status and subprocess says 0."""
    other = tmp_path / "trial.py"
    other.write_text("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)")
    monkeypatch.setattr(trial, "__file__", str(other))
    trial._try.cache_clear()
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    try:
        with pytest.raises(FormatError, match="no process can try its metadata"):
            open_stack(path)
    finally:
        signal.signal(signal.SIGCHLD, before)


TRY = """
import os
from pathlib import Path
from tomoprior.adapters.hdf5.trial import try_in_a_process
os.rmdir(os.getcwd())
print(try_in_a_process(Path({path!r})))
"""


def test_a_program_on_the_command_line_can_try_in_a_folder_that_is_gone(path, tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", TRY.format(path=str(path))]
    done = subprocess.run(command, cwd=gone, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, gone.exists()) == ("None\n", "", False)


def _try_from_a_daemon(path: str, answer: multiprocessing.connection.Connection) -> None:
    answer.send((multiprocessing.current_process().daemon, trial.try_in_a_process(Path(path)), _children()))


def _children() -> str:
    return Path(f"/proc/self/task/{os.getpid()}/children").read_text()


@pytest.mark.skipif(not Path(f"/proc/self/task/{os.getpid()}/children").exists(), reason="children are read from Linux's /proc")
def test_a_daemon_can_try_and_leaves_no_process_behind(path):
    here, there = multiprocessing.Pipe()
    context = multiprocessing.get_context("fork")
    daemon = context.Process(target=_try_from_a_daemon, args=(str(path), there), daemon=True)
    daemon.start()
    assert here.poll(60)
    assert here.recv() == (True, None, "")
    daemon.join()


def test_the_process_reads_the_attributes_of_every_object_and_of_what_links_lead_to(path, monkeypatch):
    read = []
    monkeypatch.setattr(trial, "_is_enough", lambda: False)  # it looks at the processor time of all tests here
    monkeypatch.setattr(trial, "_read", lambda item: read.append(item.name))
    monkeypatch.setattr(trial.resource, "setrlimit", lambda *_: None)
    trial._read_everything(str(path))
    assert sorted(read) == ["/", "/elsewhere", "/exchange", "/exchange/data", "/exchange/theta"]


@pytest.mark.parametrize("value", [2, 9, 255])
def test_one_byte_of_the_type_of_units_cannot_crash(tmp_path, value):
    """This byte tells the library whether a variable length is that of a text or of a list; a list crashes h5py."""
    path = tmp_path / "a.emd"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/tomography")
        group["data"] = np.ones((3, 4, 5), np.float32)
        for i, (name, n) in enumerate((("angle", 3), ("y", 4), ("x", 5)), 1):
            group[f"dim{i}"] = np.arange(n, dtype=float)
            group[f"dim{i}"].attrs.update({"name": name, "units": "[deg]" if i == 1 else "[n_m]"})
    raw = bytearray(path.read_bytes())
    place = raw.index(b"units\0\0\0\x19\x01") + 9
    raw[place] = value
    path.write_bytes(raw)
    with pytest.raises(FormatError, match=r"damaged, the HDF5 library crashes \(SIGSEGV\) on it"):
        open_stack(path)
