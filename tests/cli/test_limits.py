"""Errors that come from a limit of the shell name it."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tomoprior.cli.limits import describe_limits
from tomoprior.errors import FormatError

ERRORS = {
    "n": [OSError(errno.EMFILE, "Too many open files")],
    "u": [RuntimeError("can't start new thread"), BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")],
    "f": [OSError(errno.EFBIG, "File too large"), FormatError("v.mrc: cannot be written (File too large)")],
    "v": [MemoryError(), OSError(errno.ENOMEM, "x"), ImportError("libtorch.so: failed to map segment from shared object")],
}


@pytest.mark.parametrize(("option", "error"), [(option, error) for option, errors in ERRORS.items() for error in errors])
def test_an_error_names_the_limit_that_explains_it(option: str, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = {
        resource.RLIMIT_NOFILE: 64,
        resource.RLIMIT_NPROC: 32,
        resource.RLIMIT_AS: 512 << 20,
        resource.RLIMIT_FSIZE: 1 << 20,
    }
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (kinds.get(kind, resource.RLIM_INFINITY),) * 2)
    value = {"n": 64, "u": 32, "v": 512 << 10, "f": 1 << 10}[option]  # ulimit -v and -f count KiB
    assert f"ulimit -{option} is {value} (" in describe_limits(error)
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (resource.RLIM_INFINITY,) * 2)
    assert describe_limits(error) == ""


def test_other_errors_name_no_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (10, 10))
    assert describe_limits(ValueError("a wrong value")) == ""


def test_a_run_without_address_space_says_so(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", np.ones((5, 64, 64), np.float32))
    command = f"ulimit -v 700000; {sys.executable} -m tomoprior recon s.npy --angles=-60:60:30 -m wbp -o v.npy"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False, env=environment)
    assert result.returncode != 0
    assert "ulimit -v is 700000 (address space): raise it" in result.stderr, result.stderr[-2000:]
    assert "Traceback" not in result.stderr
