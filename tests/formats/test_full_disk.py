"""A full disk is one clear error, for every format, and leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXTENSIONS = (".mrc", ".h5", ".tif", ".zarr", ".npy", ".npz")

WRITE = """
import os, resource, signal, sys
import numpy as np
from tomoprior.errors import FormatError
from tomoprior.formats import Header, writing

folder, limit, extensions = sys.argv[1], int(sys.argv[2]), sys.argv[3:]
if limit:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
shape = (16, 64, 512)
values = np.random.default_rng(0).random(shape, np.float32)  # which no codec makes smaller
for extension in extensions:
    path = os.path.join(folder, "out" + extension)
    try:
        with writing(path, Header(shape)) as sink:
            for y in range(0, 64, 16):
                sink[:, y : y + 16, :] = values[:, y : y + 16]
    except FormatError as error:
        assert path in str(error) and "cannot be written" in str(error), error
        assert ".part" not in str(error), error
    else:
        raise SystemExit(extension + " was written where there is no room")
    assert os.listdir(folder) == [], (extension, os.listdir(folder))
print("refused", len(extensions))
"""


def run(folder: Path, limit: int) -> str:
    done = subprocess.run(
        [sys.executable, "-c", WRITE, str(folder), str(limit), *EXTENSIONS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize("limit", [600, 200_000])
def test_a_limit_on_the_size_of_files(tmp_path: Path, limit: int) -> None:
    assert run(tmp_path, limit) == f"refused {len(EXTENSIONS)}"


def test_a_small_file_system(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small file system")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(tmp_path)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no small file system can be mounted here ({mounted.stderr.strip()})")
    try:
        assert run(tmp_path, 0) == f"refused {len(EXTENSIONS)}"
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
