"""The reproduction runs from start to end at a size that reproduces nothing, and leaves its table and figures."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "reproduce_coordinate_network.py"
pytestmark = pytest.mark.slow


def reproduce(folder: Path, *options: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "TOMOPRIOR_DATA"} | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-W", "error", str(SCRIPT), "--size", "tiny", "-o", str(folder), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("reproduced")
    options = ("--phantoms", "spheres,capsid", "--methods", "wbp,sirt,cn,cn-paper", "--sweep", "spheres")
    return folder, options, reproduce(folder, *options)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "table.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_table_has_every_method_on_the_whole_and_on_the_slices_of_the_papers_recipe(made):
    folder, _, _ = made
    found = {(r["slices"], r["method"]) for r in rows(folder) if (r["range"], r["step"]) == ("60", "2")}
    whole, crop = {"wbp", "sirt", "cn"}, {"wbp", "sirt", "cn", "cn-paper"}
    assert found == {("16", m) for m in whole} | {("8", m) for m in crop}


def test_the_sweeps_are_in_it_and_the_measures_are_numbers(made):
    folder, _, _ = made
    table = rows(folder)
    assert {(r["range"], r["step"]) for r in table} == {("60", "2"), ("60", "8"), ("40", "2")}
    psnr = {r["method"]: float(r["psnr"]) for r in table if (r["range"], r["step"], r["slices"]) == ("40", "2", "16")}
    assert psnr["cn"] > psnr["sirt"] > psnr["wbp"]
    assert all(0 < float(r["ssim"]) <= 1 and -1 <= float(r["missing_fsc"]) <= 1 and float(r["seconds"]) > 0 for r in table)


def test_figures_come_of_both_parts_and_both_sweeps(made):
    folder, _, _ = made
    parts = ("spheres", "spheres-8-slices")
    names = {f"{kind}-{part}.png" for kind in ("slices", "missing-fsc") for part in parts}
    assert {p.name for p in folder.glob("*.png")} == names | {"sweep-step-spheres.png", "sweep-range-spheres.png"}


def test_what_cannot_be_had_is_said(made):
    assert "capsid is left out" in made[2]


def test_what_is_finished_is_not_done_again(made):
    folder, options, printed = made
    before = {p: p.stat().st_mtime_ns for p in (folder / "kept").iterdir()}
    assert reproduce(folder, *options) == printed
    assert {p: p.stat().st_mtime_ns for p in (folder / "kept").iterdir()} == before
