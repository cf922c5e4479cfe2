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
