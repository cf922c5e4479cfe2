"""Workers of one machine: the same bytes, whatever becomes of them, and no network port that others could command."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
import types
from contextlib import suppress
from pathlib import Path

import cloudpickle
import pytest

import tomoprior
from tomoprior import TiltSeries
from tomoprior.errors import BackendError, InputError
from tomoprior.running.slabs import processes
from tomoprior.running.slabs.budget import interpreter_bytes, usable_memory
from tomoprior.running.slabs.plan import Slab
from tomoprior.running.slabs.processes import ProcessExecutor

GIVEN = {"num_iter": 30, "slab": 8, "device": "cpu"}


def children(pid: int) -> list[int]:
    """Worker processes of tomoprior whose parent is ``pid``; other tests leave Python's resource tracker behind."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            is_child = int(path.read_text().rpartition(")")[2].split()[1]) == pid
            if is_child and b"tomoprior" in path.with_name("cmdline").read_bytes():
                found.append(int(path.parent.name))
    return found


def listening(pids: list[int]) -> list[str]:
    """Addresses at which these processes listen."""
    sockets = set()
    for pid in pids:
        with suppress(OSError):
            for fd in Path(f"/proc/{pid}/fd").iterdir():
                with suppress(OSError):
                    sockets.add(os.readlink(fd))
    found = []
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == "0A" and f"socket:[{columns[9]}]" in sockets:
                found.append(columns[1])
    return found


@pytest.fixture(scope="module")
def known(series, tmp_path_factory):
    out = tmp_path_factory.mktemp("known") / "v.zarr"
    tomoprior.reconstruct(series, "sirt", out=out, **GIVEN)
    return out


@pytest.mark.slow
def test_workers_give_the_same_bytes_and_listen_nowhere(series, known, tmp_path, bytes_of):
    before = set(listening([os.getpid()]))
    seen, ports = [], []

    def look(done, total, values):
        workers = children(os.getpid())
        seen.append(len(workers))
        ports.extend(set(listening([os.getpid(), *workers])) - before)

    found = tomoprior.reconstruct(series, "sirt", out=tmp_path / "v.zarr", workers=2, progress=look, **GIVEN)
    assert bytes_of(tmp_path / "v.zarr") == bytes_of(known)
    assert max(seen) >= 2
    assert ports == []
    assert len({slab["rows"][0] for slab in found.provenance["slabs"]["each"]}) == 10
    assert children(os.getpid()) == []


@pytest.mark.slow
def test_workers_that_are_killed_are_replaced(series, known, tmp_path, bytes_of):
    ended, killed = threading.Event(), []

    def kill():
        while not ended.is_set() and len(killed) < 3:
            time.sleep(0.5)
            for pid in children(os.getpid())[:1]:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    killed.append(pid)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        tomoprior.reconstruct(series, "sirt", out=tmp_path / "v.zarr", workers=2, **GIVEN)
    finally:
        ended.set()
        killer.join()
    assert killed
    assert bytes_of(tmp_path / "v.zarr") == bytes_of(known)


@pytest.mark.slow
def test_an_error_of_a_slab_ends_the_run_and_the_workers(series, tmp_path):
    import numpy as np

    data = series.projections.copy()
    data[3, 41, 5] = np.nan
    with pytest.raises(InputError, match="rows 40 to 48 are NaN or infinite, in tilts 3"):
        tomoprior.reconstruct(TiltSeries(data, series.geometry), "sirt", out=tmp_path / "v.npy", workers=2, **GIVEN)
    assert children(os.getpid()) == []


@pytest.fixture
def sent_by_value():
    """Classes of this file travel whole: workers cannot import it."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


class Deadly:
    """Work that ends its process."""

    def __call__(self, slab, device=None):
        os._exit(1)


@pytest.mark.slow
@pytest.mark.usefixtures("sent_by_value")
def test_a_slab_that_kills_every_worker_is_an_error(monkeypatch):
    monkeypatch.setattr(processes, "RETRIES", 1)
    with ProcessExecutor(2) as executor, pytest.raises(BackendError, match=r"rows 0 to 8: .* died 2 times"):
        list(executor.run(Deadly(), [Slab(0, 0, 8, 0, 8)]))
    assert children(os.getpid()) == []


class Failing:
    """Work that fails as its argument says."""

    def __init__(self, error):
        self.error = error

    def __call__(self, slab, device=None):
        raise self.error


@pytest.mark.slow
@pytest.mark.usefixtures("sent_by_value")
@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (InputError("rows 0 to 8 are\nNaN"), InputError, "rows 0 to 8 are\nNaN"),
        (MemoryError("2 GiB"), MemoryError, "2 GiB"),
        (KeyError("x"), RuntimeError, "KeyError: 'x'"),
        (SystemError("y"), RuntimeError, "SystemError: y"),
    ],
    ids=["ours", "memory", "Python's", "not ours"],
)
def test_the_error_of_a_worker_has_its_class_and_message(error, kind, message):
    with ProcessExecutor(1) as executor, pytest.raises(kind) as caught:
        list(executor.run(Failing(error), [Slab(0, 0, 8, 0, 8)]))
    assert type(caught.value) is kind
    assert str(caught.value) == message


@pytest.mark.slow
def test_work_that_a_worker_cannot_import_is_named(monkeypatch):
    here_only = types.ModuleType("here_only")
    here_only.Work = type("Work", (), {"__module__": "here_only"})
    monkeypatch.setitem(sys.modules, "here_only", here_only)
    with ProcessExecutor(1) as executor, pytest.raises(RuntimeError, match="ModuleNotFoundError: No module named 'here_only'"):
        list(executor.run(here_only.Work(), [Slab(0, 0, 8, 0, 8)]))


class Answer:
    """A process whose standard output holds these bytes."""

    def __init__(self, content):
        self.stdout = io.BytesIO(content)


@pytest.mark.parametrize("content", [b"", b'{"record": {"rows"', b"\n", b"[1]\n", b"\xff\n", b"[" * 100_000 + b"\n"])
def test_half_a_reply_is_the_death_of_a_worker(content):
    with pytest.raises((EOFError, ValueError)):
        processes._receive(Answer(content))


def test_a_reply_is_a_record_or_an_error_and_never_code():
    assert processes._receive(Answer(b'{"record": {"rows": [0, 8], "residual": NaN}}\n'))["rows"] == [0, 8]
    for name in ("os", "annotations", "Any", "SystemExit", "Interrupted"):
        found = processes._receive(Answer(json.dumps({"error": {"class": name, "message": "m"}}).encode() + b"\n"))
        assert type(found) is RuntimeError
        assert str(found) == f"{name}: m"


SCRIPT = """
import sys
import numpy as np
import tomoprior
from tomoprior import Geometry, TiltSeries, methods

class Doubled(type(methods.get("wbp"))):
    def reconstruct(self, *arguments, **more):
        result = super().reconstruct(*arguments, **more)
        result.volume.mul_(2)
        return result

geometry = Geometry(np.deg2rad(np.arange(-60, 61, 10)), (8, 16, 16))
series = TiltSeries(np.ones(geometry.range_shape, np.float32), geometry)
one = tomoprior.reconstruct(series, "wbp", device="cpu").volume
two = tomoprior.reconstruct(series, Doubled(), out=sys.argv[1], slab=8, workers=2, device="cpu").volume[...]
print(np.array_equal(2 * one, two))
"""


@pytest.mark.slow
def test_a_script_without_a_guard_may_use_a_method_of_its_own(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path / "v.npy")]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert ran.stdout == "True\n", ran.stderr


def test_the_memory_and_the_threads_are_shared(monkeypatch):
    monkeypatch.setattr("tomoprior.memory.available", lambda: 10 << 30)
    executor = ProcessExecutor(3, threads=8)
    assert executor.threads == 2
    assert executor.interpreters == 4
    own = interpreter_bytes("cpu")
    assert abs(executor.memory("cpu") - (usable_memory("cpu") - 3 * own)) < 64 << 20
    assert ProcessExecutor(10_000).threads == 1
