"""Examples are run as a user runs them: as scripts, in a folder of their own, by this Python."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
#: Warnings are errors, except two about results: the specimens are cut by the field, and the fits are short.
WARNINGS = ("-W", "error", "-W", "ignore:the volume explains", "-W", "ignore:the specimen extends")


def environment(**more: str) -> dict[str, str]:
    # the arrays are small: more threads would only wait for each other
    path = os.pathsep.join(p for p in (more.pop("PYTHONPATH", ""), os.environ.get("PYTHONPATH", "")) if p)
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": path} | more


@pytest.fixture
def example(tmp_path: Path) -> Callable[..., str]:
    """Run ``examples/NAME`` in ``tmp_path``, warnings as errors; gives what it prints."""

    def run(name: str, *arguments: object, **more: str) -> str:
        command = [sys.executable, *WARNINGS, str(EXAMPLES / name), *map(str, arguments)]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(**more), capture_output=True, text=True, timeout=200, check=False
        )
        assert done.returncode == 0, done.stderr
        assert not done.stderr, "nothing is drawn or said there without a terminal"
        return done.stdout

    return run
