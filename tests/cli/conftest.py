from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from tomoprior import Geometry, TiltSeries
from tomoprior.cli.app import app
from tomoprior.cli.errors import report
from tomoprior.formats.writing import write_series
from tomoprior.simulate import Spheres


class Ran(NamedTuple):
    code: int
    out: str
    err: str


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., Ran]:
    """The program in this process: arguments in, exit code and output out."""

    def call(*arguments: object) -> Ran:
        capsys.readouterr()
        code = report(app, [str(a) for a in arguments])
        found = capsys.readouterr()
        assert "Traceback" not in found.err
        return Ran(code, found.out, found.err)

    return call


@pytest.fixture(scope="session")
def phantom() -> tuple[np.ndarray, TiltSeries]:
    shape = (16, 12, 32)
    spheres = Spheres.random(shape, radius=(3, 6), seed=3)
    geometry = Geometry(np.deg2rad(np.arange(-60, 61, 5)), shape, voxel_size=8.0, unit="angstrom")
    return spheres.volume(shape), TiltSeries(spheres.project(geometry), geometry)


@pytest.fixture
def series_file(phantom: tuple[np.ndarray, TiltSeries], tmp_path: Path) -> Path:
    """An MRC file with its angles beside it."""
    path = tmp_path / "series.mrc"
    write_series(phantom[1], path)
    return path
