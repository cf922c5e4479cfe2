"""Fixtures that several folders of tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Folder of the real data: TOMOPRIOR_DATA, or ``shared/data`` beside the checkout; skips where there is none."""
    named = os.environ.get("TOMOPRIOR_DATA")
    folder = Path(named) if named else Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real data at {folder} (set TOMOPRIOR_DATA)")
    return folder


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    """The arrays here are small: more threads would only wait for each other, for minutes on a busy machine."""
    torch.set_num_threads(1)
