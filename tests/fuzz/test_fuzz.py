"""A few damaged files of every kind in the usual tests; ``python tests/fuzz --number 100000`` tries many."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent


@pytest.mark.slow
def test_damaged_files_of_every_kind_are_refused_in_one_line_or_read():
    ran = subprocess.run(
        [sys.executable, str(PROGRAM), "--number", "1500"], capture_output=True, text=True, timeout=290, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count(" inputs, 0 findings") == 14


def test_a_death_a_hang_and_a_raw_error_are_findings_and_the_rest_goes_on(monkeypatch):
    monkeypatch.syspath_prepend(str(PROGRAM))
    import guard

    monkeypatch.setattr(guard, "CPU_LIMIT", 0.3)

    def read(index):
        match index:
            case 1:
                import os
                import signal

                os.kill(os.getpid(), signal.SIGSEGV)
            case 2:
                while True:
                    pass
            case 3:
                raise KeyError("x")
            case 4:
                bytearray(64 << 20)
        return 0

    found = list(guard.run_guarded(lambda index: guard.check_input(lambda: read(index)), 6))
    assert [finding.index for finding in found] == [1, 2, 3, 4]
    for finding, words in zip(found, ("SIGSEGV", "hang", "KeyError", "memory: 64 MiB"), strict=True):
        assert words in finding.fault
