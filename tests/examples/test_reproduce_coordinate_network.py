"""The reproduction runs from start to end at a size that reproduces nothing, and leaves its table and figures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from .conftest import WARNINGS

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "reproduce_coordinate_network.py"
pytestmark = pytest.mark.slow


def reproduce(folder: Path, *options: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "TOMOPRIOR_DATA"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, *WARNINGS, str(SCRIPT), "--size", "tiny", "-o", str(folder), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Made:
    """What a run left."""

    folder: Path
    printed: str
    table: list[dict[str, str]]
    figures: set[str]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    options = ("--phantoms", "spheres,capsid", "--methods", "wbp,sirt,cn,cn-paper", "--sweep", "spheres")
    printed = reproduce(folder, *options)
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        return Made(folder, printed, list(csv.DictReader(file)), {p.name for p in folder.glob("*.png")})


def test_the_table_has_every_method_on_the_whole_and_on_the_slices_of_the_papers_recipe(made):
    found = {(r["slices"], r["method"]) for r in made.table if (r["range"], r["step"]) == ("60", "2")}
    whole, crop = {"wbp", "sirt", "cn"}, {"wbp", "sirt", "cn", "cn-paper"}
    assert found == {("16", m) for m in whole} | {("8", m) for m in crop}


def test_the_sweeps_are_in_it_and_the_measures_are_numbers(made):
    assert {(r["range"], r["step"]) for r in made.table} == {("60", "2"), ("60", "8"), ("40", "2")}
    psnr = {r["method"]: float(r["psnr"]) for r in made.table if (r["range"], r["step"], r["slices"]) == ("40", "2", "16")}
    assert psnr["cn"] > psnr["sirt"] > psnr["wbp"]
    assert all(0 < float(r["ssim"]) <= 1 and -1 <= float(r["missing_fsc"]) <= 1 for r in made.table)
    assert all(float(r["seconds"]) > 0 for r in made.table)


def test_figures_come_of_both_parts_and_both_sweeps(made):
    parts = ("spheres", "spheres-8-slices")
    names = {f"{kind}-{part}.png" for kind in ("slices", "missing-fsc") for part in parts}
    assert made.figures == names | {"sweep-step-spheres.png", "sweep-range-spheres.png"}


def test_what_cannot_be_had_is_said(made):
    assert "capsid is left out" in made.printed


def test_what_is_finished_is_not_done_again(made):
    before = {p: p.stat().st_mtime_ns for p in (made.folder / "kept").iterdir()}
    again = reproduce(made.folder, "--phantoms", "spheres", "--methods", "wbp,cn", "--sweep", "none")
    # the times with them, which no second run would meet to the millisecond
    assert set(again.splitlines()) < set(made.printed.splitlines())
    assert {p: p.stat().st_mtime_ns for p in (made.folder / "kept").iterdir()} == before
