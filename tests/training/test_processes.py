"""Trainings in a separate process: interrupted, killed, continued."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tomoprior.errors import FormatError

from .conftest import TINY, grey, same, weights

SCRIPT = """
import importlib, json, sys, time
import numpy as np, torch
from tomoprior.simulate.tissue import Tissue
from tomoprior.training import train

folder, save_every, wait, hold, values = sys.argv[1], *map(float, sys.argv[2:5]), json.loads(sys.argv[5])
torch.set_num_threads(1)
importlib.import_module("tomoprior.training.train").SAVE_EVERY = save_every
done = 0

def progress(*_):
    global done
    done += 1
    print("step", done, flush=True)
    time.sleep(600 if done == hold else wait)

tissue = Tissue.of(np.load(folder + "/grey.npy"), 10.0)
train(tissue, folder + "/p.safetensors", steps=12, device="cpu", progress=progress, **values)
print("done", flush=True)
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
    """Wait for a step."""
    for line in process.stdout:
        if line.split() == ["step", str(step)]:
            return
    raise AssertionError(process.stderr.read())


@pytest.fixture
def whole(train, tmp_path):
    """Weights of the training that nothing happened to."""
    (tmp_path / "whole").mkdir()
    train(tmp_path / "whole/p.safetensors", steps=12)
    return weights(tmp_path / "whole/p.safetensors")


def test_ctrl_c_saves_and_the_same_call_continues(started, train, whole, tmp_path):
    process = started(wait=0.3)
    until(process, 3)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    out, err = process.communicate(timeout=60)
    assert "done" not in out
    assert err.count("Traceback") == 1  # the script's own, which does not catch it
    assert "Interrupted" in err
    left = {p.name for p in tmp_path.iterdir() if p.is_file()}
    assert left == {"grey.npy", "script.py", "p.state.safetensors", "p.csv"}
    steps = []
    train(tmp_path / "p.safetensors", steps=12, progress=lambda *_: steps.append(1))
    assert len(steps) < 10
    assert same(weights(tmp_path / "p.safetensors"), whole)


def test_a_killed_training_continues_from_its_last_state(started, train, whole, tmp_path):
    process = started(save_every=-1.0, hold=5)
    until(process, 5)
    out = tmp_path / "p.safetensors"
    with pytest.raises(FormatError, match=f"process {process.pid} trains it already"):
        train(out, steps=12)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (tmp_path / "p.lock").exists()
    steps = []
    train(out, steps=12, progress=lambda *_: steps.append(1))
    assert len(steps) == 8
    assert {p.name for p in tmp_path.iterdir() if p.is_file()} == {"grey.npy", "script.py", "p.safetensors", "p.csv"}
    assert same(weights(out), whole)
