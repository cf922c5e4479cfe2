"""Trainings in a process of their own, with the process that simulates for them: interrupted, killed, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tomoprior.errors import FormatError

from .conftest import TINY, grey, same, weights

SCRIPT = """
import importlib, json, multiprocessing, sys, time
import numpy as np, torch
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import train

def main():
    folder, save_every, wait, hold, values = sys.argv[1], *map(float, sys.argv[2:5]), json.loads(sys.argv[5])
    torch.set_num_threads(1)
    importlib.import_module("tomoprior.training.train").SAVE_EVERY = save_every
    done = 0

    def progress(*_):
        nonlocal done
        done += 1
        print("step", done, *(p.pid for p in multiprocessing.active_children()), flush=True)
        time.sleep(600 if done == hold else wait)

    train(Tissue.of(np.load(folder + "/grey.npy"), 10.0), folder + "/p.safetensors", steps=12, progress=progress, **values)
    print("done", flush=True)

if __name__ == "__main__":
    main()
"""


@pytest.fixture
def started(tmp_path):
    np.save(tmp_path / "grey.npy", grey(0))
    (tmp_path / "script.py").write_text(SCRIPT)
    processes = []

    def start(save_every=120.0, wait=0.0, hold=0):
        command = [sys.executable, tmp_path / "script.py", tmp_path, save_every, wait, hold, json.dumps(TINY)]
        made = subprocess.Popen(
            [str(c) for c in command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        processes.append(made)
        return made

    yield start
    for process in processes:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def until(process, step):
    """Wait for a step; gives the number of the process that simulates."""
    for line in process.stdout:
        words = line.split()
        if words[:2] == ["step", str(step)]:
            return int(words[2])
    raise AssertionError(process.stderr.read())


def gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.05)
    return condition()


@pytest.fixture
def whole(train, tmp_path):
    """Weights of the training that nothing happened to."""
    (tmp_path / "whole").mkdir()
    train(tmp_path / "whole/p.safetensors", steps=12)
    return weights(tmp_path / "whole/p.safetensors")


def test_ctrl_c_saves_and_the_same_call_goes_on(started, train, whole, tmp_path):
    process = started(wait=0.3)
    child = until(process, 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    out, err = process.communicate(timeout=60)
    assert "done" not in out
    assert err.count("Traceback") == 1  # the script's own, which does not catch it; none from the process that simulates
    assert "Interrupted" in err
    assert wait_until(lambda: gone(child), 10)
    left = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert left == {"grey.npy", "script.py", "p.state.safetensors", "p.csv"}
    steps = []
    train(tmp_path / "p.safetensors", steps=12, progress=lambda *_: steps.append(1))
    assert len(steps) < 10
    assert same(weights(tmp_path / "p.safetensors"), whole)


def test_a_killed_training_goes_on_from_its_last_state_and_leaves_no_process(started, train, whole, tmp_path):
    process = started(save_every=-1.0, hold=5)
    child = until(process, 5)
    out = tmp_path / "p.safetensors"
    with pytest.raises(FormatError, match=f"process {process.pid} trains it already"):
        train(out, steps=12)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert wait_until(lambda: gone(child), 30)
    assert (tmp_path / "p.lock").exists()
    steps = []
    train(out, steps=12, progress=lambda *_: steps.append(1))
    assert len(steps) == 8
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"grey.npy", "script.py", "p.safetensors", "p.csv"}
    assert same(weights(out), whole)


def test_a_script_without_a_guard_is_told_what_it_lacks(tmp_path, started):
    (tmp_path / "script.py").write_text(SCRIPT.replace('if __name__ == "__main__":\n    main()', "main()"))
    process = started()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "if __name__ == '__main__'" in err.strip().splitlines()[-1]
    assert not (tmp_path / "p.lock").exists()
