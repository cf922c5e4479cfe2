"""A process of another user reaches neither the workers of a run nor its files; needs the suite to run as root."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tests.running.slabs.test_processes import children, listening
from tomoprior.comparison.store import lock_folder
from tomoprior.errors import OutputExistsError
from tomoprior.running.slabs.journal import Journal

SERIES = tomoprior.TiltSeries(
    np.ones((9, 8, 16), np.float32), tomoprior.Geometry(np.deg2rad(np.arange(-60, 61, 15)), (16, 8, 16))
)
#: Tries everything and prints the names of what succeeds.
INTRUDER = """
import glob, json, os, sys
os.setgroups([])
os.setgid(NOBODY)
os.setuid(NOBODY)
folder, pids = sys.argv[1], sys.argv[2:]
reached = []

def attempt(name, action):
    try:
        action()
    except OSError:
        return
    reached.append(name)

for pid in pids:
    attempt("environment", lambda: open(f"/proc/{pid}/environ", "rb").read(1))
    attempt("memory", lambda: open(f"/proc/{pid}/mem", "r+b"))
    attempt("descriptors", lambda: os.listdir(f"/proc/{pid}/fd"))
    for fd in range(16):
        attempt(f"pipe {fd}", lambda: os.open(f"/proc/{pid}/fd/{fd}", os.O_RDWR | os.O_NONBLOCK))
    attempt("signal", lambda: os.kill(int(pid), 0))
for path in glob.glob(f"{folder}/**", recursive=True):
    attempt(f"write {path}", lambda: open(path, "r+b"))
    attempt(f"create in {path}", lambda: open(f"{path}/mine", "wb"))
    attempt(f"remove {path}", lambda: os.rename(path, f"{path}.gone"))
print(json.dumps(reached))
""".replace("NOBODY", "65534")


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that everyone may enter, unlike pytest's own."""
    before = os.umask(0o022)
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
    os.umask(before)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_another_user_reaches_neither_workers_nor_files(open_folder: Path) -> None:
    reached, seen, ports = [], [], set()
    everyones = open_folder / "everyones.txt"
    everyones.touch(0o666)
    everyones.chmod(0o666)
    before = set(listening([os.getpid()]))

    def look(done: int, total: int, values: dict[str, float]) -> None:
        workers = children(os.getpid())
        seen.append(len(workers))
        ports.update(set(listening([os.getpid(), *workers])) - before)
        if done == 1:
            command = [sys.executable, "-S", "-c", INTRUDER, str(open_folder), *map(str, workers)]
            result = subprocess.run(command, capture_output=True, text=True, check=True)
            reached.extend(json.loads(result.stdout))

    tomoprior.reconstruct(SERIES, "sirt", num_iter=2, out=open_folder / "v.npy", workers=2, slab=2, device="cpu", progress=look)
    assert max(seen) >= 2
    assert reached == [f"write {everyones}"]  # the control: what everyone may write is reached
    assert ports == set()
    np.testing.assert_array_equal(
        np.load(open_folder / "v.npy"), tomoprior.reconstruct(SERIES, "sirt", num_iter=2, device="cpu").volume
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give a folder to another user")
def test_a_folder_that_another_user_has_put_where_everybody_may_write_is_refused(open_folder: Path) -> None:
    out = open_folder / "v.npy"
    folder = Journal(out).folder
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    open_folder.chmod(0o1777)
    with pytest.raises(OutputExistsError, match=r"v\.npy\.partial belongs to another user \(number 65534\)"):
        tomoprior.reconstruct(SERIES, "wbp", out=out, slab=4, device="cpu")
    with pytest.raises(OutputExistsError, match=r"v\.npy\.partial belongs to another user \(number 65534\)"):
        lock_folder(folder).__enter__()
    assert list(folder.iterdir()) == []
    open_folder.chmod(0o755)  # in a folder where nobody else may write, root may continue the run of a user
    tomoprior.reconstruct(SERIES, "wbp", out=out, slab=4, device="cpu")
    assert out.exists()
