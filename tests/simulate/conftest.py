from __future__ import annotations

from pathlib import Path

import pytest

#: Those that are made of nothing but random numbers.
FREE = ("spheres", "shapes", "foam")
#: Those that are made of files.
FILED = ("capsid", "protein", "particles")


@pytest.fixture
def files(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data, where phantoms find their files."""
    monkeypatch.setenv("TOMOPRIOR_DATA", str(data_dir))
    return data_dir


@pytest.fixture(params=FREE + FILED)
def name(request: pytest.FixtureRequest) -> str:
    """Every phantom; those that are made of files where there are some."""
    if request.param in FILED:
        request.getfixturevalue("files")
    return request.param
