"""The support matrix: what each method takes, found by asking the methods themselves.

``python docs/support_matrix.py`` writes the tables into ``docs/support.md``; a test compares that page with the code.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch

from tomoprior import Geometry, Projector, methods, plugins, simulate
from tomoprior.errors import InputError
from tomoprior.projector import LinearOperator

PAGE = Path(__file__).with_name("support.md")
SHAPE = (16, 16, 24)
SPHERES = simulate.Spheres.random(SHAPE, seed=1)
START, END = "<!-- generated: methods -->", "<!-- end -->"
HEADER = "| method | weights a tilt | weights a pixel | mask | warm start | slabs along y | GPU |"


class _Accepted(Exception):
    """Raised in place of the first projection, or of the first report of progress."""


def _accept(done: int, total: int, values: object) -> None:
    if done < total:
        raise _Accepted


def table() -> str:
    """The matrix as a Markdown table, one row a method of this package; families have one row each."""
    rows = [HEADER, "|---" * HEADER.count("|", 1) + "|"]
    for name in plugins.names("tomoprior.methods"):
        entry = plugins.load("tomoprior.methods", name)
        if not entry.__module__.startswith("tomoprior."):
            continue  # other packages' plug-ins that happen to be installed
        rows += [f"| {' | '.join(row)} |" for row in _rows(name)]
    return "\n".join(rows)


def _rows(name: str) -> list[list[str]]:
    if name == "tomopy":  # its wrapper refuses weights, masks and shifts before TomoPy is imported
        return [["`tomopy.*`", "no", "no", "no", "iterative ones", "each slice by itself", "no"]]
    if name == "astra":
        return [_row("astra.SIRT", "`astra.*` (iterative)", "`*_CUDA`"), _row("astra.FBP", "`astra.FBP`", "`FBP_CUDA`")]
    return [_row(name, f"`{name}`", "yes")]


def _row(name: str, label: str, gpu: str) -> list[str]:
    method = methods.get(name)
    nz, ny, nx = SHAPE
    geometry = Geometry(np.deg2rad(np.arange(-60.0, 61.0, 10)), SHAPE, voxel_size=20.0, unit="nanometer")
    n = geometry.n_angles
    asked: list[dict[str, torch.Tensor]] = [
        {"weights": torch.linspace(0.5, 1, n)},
        {"weights": torch.linspace(0.5, 1, n * ny * nx).reshape(geometry.range_shape)},
        {"mask": torch.ones(nz, nx)},
        {"initial": torch.from_numpy(SPHERES.volume(SHAPE))},
    ]
    taken = ["yes" if _takes(method, geometry, arguments) else "no" for arguments in asked]
    return [label, *taken, _slabs(method, geometry), gpu]


def _takes(method: Any, geometry: Geometry, arguments: dict[str, torch.Tensor]) -> bool:
    projections = torch.from_numpy(SPHERES.project(geometry))
    projector = Projector(geometry, "cpu")
    with mock.patch.object(LinearOperator, "__call__", side_effect=_Accepted):
        try:
            method.reconstruct(projections, projector, method.Settings(), progress=_accept, **arguments)
        except InputError:
            return False
        except _Accepted:
            pass
    return True


def _slabs(method: Any, geometry: Geometry) -> str:
    if not method.couples_slices:
        return "each slice by itself"
    return f"halo of {method.halo(geometry, method.Settings())} rows" if hasattr(method, "halo") else "no"


def page(text: str) -> str:
    """``text`` of the page with the table in its place."""
    before, _, rest = text.partition(START)
    return f"{before}{START}\n\n{table()}\n\n{END}{rest.partition(END)[2]}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text()))
