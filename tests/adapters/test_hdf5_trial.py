"""Metadata on which the HDF5 library fails are met by a process of their own."""

from __future__ import annotations

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
        ("while True: pass", "does not come to an end within 1 s"),
    ],
)
def test_a_crash_and_a_loop_are_one_error(path, tmp_path, monkeypatch, fault, words):
    program = Path(trial.__file__).read_text().replace("SECONDS = 10", "SECONDS = 1")
    broken = tmp_path / "trial.py"
    broken.write_text(program.replace("            item.attrs[key]\n", f"            {fault}\n"))
    assert fault in broken.read_text()
    monkeypatch.setattr(trial, "__file__", str(broken))
    monkeypatch.setattr(trial, "SECONDS", 1)
    trial._try.cache_clear()
    with pytest.raises(FormatError, match=f"damaged, the HDF5 library {words} on it"):
        open_stack(path)


def test_the_process_reads_the_attributes_of_every_object_and_of_what_links_lead_to(path, monkeypatch):
    read = []
    monkeypatch.setattr(trial, "_read", lambda item: read.append(item.name))
    monkeypatch.setattr(trial.resource, "setrlimit", lambda *_: None)
    trial._read_everything(str(path))
    assert sorted(read) == ["/", "/elsewhere", "/exchange", "/exchange/data", "/exchange/theta"]
