"""However a run ends, the next one goes on, and the volume is the same to the last byte."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys
import time
import warnings
from types import SimpleNamespace

import numpy as np
import pytest

import tomoprior
from tomoprior.errors import FormatError
from tomoprior.formats import open_stack
from tomoprior.running.slabs.journal import Journal
from tomoprior.storage.files import remove_tree

KILLS = 99

GIVEN = {
    "sirt": {"num_iter": 30, "slab": 8, "device": "cpu"},
    "tv": {"num_iter": 20, "slab": 16, "device": "cpu"},
}


def _forked(series, method, out):
    """A process that goes on with the run; it shares what is imported, so that it is at work at once."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: torch has one here
        child = os.fork()
    if child == 0:
        try:
            tomoprior.reconstruct(series, method, out=out, resume=True, **GIVEN[method])
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    return child


@pytest.mark.slow
@pytest.mark.parametrize(("method", "extension"), [("sirt", "zarr"), ("tv", "zarr"), ("tv", "mrc")])
def test_killed_again_and_again(series, tmp_path, bytes_of, method, extension):
    chance = random.Random(0)
    (tmp_path / "one").mkdir()
    known, out = tmp_path / "one" / f"v.{extension}", tmp_path / f"v.{extension}"
    started = time.perf_counter()
    tomoprior.reconstruct(series, method, out=known, **GIVEN[method])
    whole = time.perf_counter() - started
    kills, ended = 0, False
    for _ in range(10 * KILLS):
        child = _forked(series, method, out)
        if kills < KILLS // 3:  # three cases
            time.sleep(chance.uniform(0, min(whole / 2, 0.3)))
            os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            kills += 1
            continue
        assert status == 0
        ended = True
        if kills >= KILLS // 3:
            break
        # it was faster than the kill: begin anew
        remove_tree(out)
        out.with_name(out.name + ".json").unlink()
    assert ended
    assert kills >= KILLS // 3
    assert bytes_of(out) == bytes_of(known)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", out.name, f"{out.name}.json"]


#: Events of Python at which a run changes what is on the disk.
CHANGES = {"open", "os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate", "shutil.rmtree"}


def _finish(series, method, out, number):
    """Continue a run whose slabs are done in a child; it kills itself before change ``number`` of the last step.

    Returns whether it was killed.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        state = {"count": -1}

        def kill(event, arguments):
            if state["count"] >= 0 and event in CHANGES:
                if state["count"] == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                state["count"] += 1

        from tomoprior.running.slabs import run

        assemble = run.assemble

        def begin(*arguments):
            state["count"] = 0
            return assemble(*arguments)

        run.assemble = begin
        sys.addaudithook(kill)
        try:
            tomoprior.reconstruct(series, method, out=out, resume=True, **GIVEN[method])
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0
    return os.WIFSIGNALED(status)


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["zarr", "mrc"])
def test_killed_at_every_change_of_the_last_step(series, tmp_path, bytes_of, extension):
    def stop(done, total, values):
        if done == total:
            raise KeyboardInterrupt

    (tmp_path / "known").mkdir()
    (tmp_path / "begun").mkdir()
    name = f"v.{extension}"
    known = tmp_path / "known" / name
    tomoprior.reconstruct(series, "tv", out=known, **GIVEN["tv"])
    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "tv", out=tmp_path / "begun" / name, progress=stop, **GIVEN["tv"])
    kills = 0
    while True:
        work = tmp_path / "work"
        shutil.copytree(tmp_path / "begun", work)
        killed = _finish(series, "tv", work / name, kills)
        if killed:
            tomoprior.reconstruct(series, "tv", out=work / name, resume=True, **GIVEN["tv"])
        assert bytes_of(work / name) == bytes_of(known)
        assert sorted(p.name for p in work.iterdir()) == [name, f"{name}.json"]
        shutil.rmtree(work)
        if not killed:
            break
        kills += 1
    print(f"{kills} kills of {extension}")
    assert kills > 20


@pytest.mark.slow
def test_killed_while_borders_are_blended(series, tmp_path, bytes_of, monkeypatch):
    known, out = tmp_path / "a.zarr", tmp_path / "b" / "a.zarr"
    out.parent.mkdir()
    tomoprior.reconstruct(series, "tv", out=known, **GIVEN["tv"])
    from tomoprior.running.slabs.outputs import Outputs

    blended = []
    blend = Outputs.blend

    def interrupted(self, plan, border):
        blend(self, plan, border)
        blended.append(border)
        if len(blended) in (2, 3):
            raise KeyboardInterrupt

    monkeypatch.setattr(Outputs, "blend", interrupted)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            tomoprior.reconstruct(series, "tv", out=out, resume=True, **GIVEN["tv"])
    tomoprior.reconstruct(series, "tv", out=out, resume=True, **GIVEN["tv"])
    assert blended[:2] == blended[3:5]  # done again from the start, to the same values
    assert bytes_of(out) == bytes_of(known)


@pytest.fixture
def disk(tmp_path):
    """A file system in memory of 8 MiB; ``disk.mount(options)`` changes it."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount a file system")
    path = tmp_path / "disk"
    path.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no file system may be mounted here: {mounted.stderr.strip()}")
    yield SimpleNamespace(
        path=path, mount=lambda options: subprocess.run(["mount", "-o", f"remount,{options}", str(path)], check=True)
    )
    subprocess.run(["umount", "-l", str(path)], check=False)


def test_a_full_disk_is_one_error_and_what_was_done_is_kept(series, disk, tmp_path, bytes_of):
    out, known = disk.path / "v.zarr", tmp_path / "v.zarr"
    given = GIVEN["sirt"]
    tomoprior.reconstruct(series, "sirt", out=known, **given)
    disk.mount("size=130k")
    with pytest.raises(FormatError, match=r"cannot be written \(No space left on device\)"):
        tomoprior.reconstruct(series, "sirt", out=out, **given)
    assert not out.exists()
    done = len(Journal(out).done())
    assert 0 < done < 10
    disk.mount("size=8m")
    counts = []
    tomoprior.reconstruct(series, "sirt", out=out, resume=True, progress=lambda n, *_: counts.append(n), **given)
    assert counts[0] == done + 1
    assert bytes_of(out) == bytes_of(known)


@pytest.mark.slow
def test_an_output_that_becomes_read_only(series, disk):
    out = disk.path / "v.mrc"

    def progress(done, total, values):
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tomoprior.reconstruct(series, "sirt", out=out, progress=progress, **GIVEN["sirt"])
    disk.mount("ro")
    with pytest.raises(FormatError, match=r"(may not|cannot) be written|no permission to write"):
        tomoprior.reconstruct(series, "sirt", out=out, resume=True, **GIVEN["sirt"])
    disk.mount("rw")
    found = tomoprior.reconstruct(series, "sirt", out=out, resume=True, **GIVEN["sirt"])
    whole = tomoprior.reconstruct(series, "sirt", num_iter=30, device="cpu")
    np.testing.assert_array_equal(found.volume[...], whole.volume)


def test_two_runs_on_one_output(series, tmp_path):
    out = tmp_path / "v.mrc"
    seen = []

    def progress(done, total, values):
        if done == 1:
            with pytest.raises(tomoprior.errors.OutputExistsError, match="is being written by process"):
                tomoprior.reconstruct(series, "sirt", out=out, overwrite=True, **GIVEN["sirt"])
            seen.append(done)

    tomoprior.reconstruct(series, "sirt", out=out, progress=progress, **GIVEN["sirt"])
    assert seen
    assert open_stack(out).data.shape == (12, 80, 24)
