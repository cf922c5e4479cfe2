from __future__ import annotations

from pathlib import Path

import pytest

#: Phantoms that need no file.
FREE = ("spheres", "shapes", "foam")
#: Phantoms that are read from files.
FILED = ("capsid", "protein", "particles")


@pytest.fixture
def files(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of real data, where phantoms find their files."""
    monkeypatch.setenv("TOMOPRIOR_DATA", str(data_dir))
    return data_dir


@pytest.fixture(params=FREE + FILED)
def name(request: pytest.FixtureRequest) -> str:
    """Every phantom; those that are read from files only where the real data is."""
    if request.param in FILED:
        request.getfixturevalue("files")
    return request.param
