"""The support matrix of the documentation says what the methods do."""

from __future__ import annotations

import importlib.util
from pathlib import Path

DOCS = Path(__file__).resolve().parents[2] / "docs"


def load(name: str):
    specification = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_page_holds_the_table_that_the_code_gives():
    matrix = load("support_matrix")
    page = matrix.PAGE.read_text()
    assert matrix.page(page) == page, "run: python docs/support_matrix.py"


def test_every_method_of_the_package_has_a_row_and_every_row_a_method():
    methods = load("support_matrix").PAGE.read_text().split("## Projectors")[0]
    rows = [line.split("`")[1] for line in methods.splitlines() if line.startswith("| `")]
    named = {row.removesuffix(".*") for row in rows} - {"astra.FBP"}
    project = (DOCS.parent / "pyproject.toml").read_text().split('[project.entry-points."tomoprior.methods"]')[1]
    registered = {line.split(" = ")[0].strip('"') for line in project.split("\n\n")[0].strip().splitlines()}
    assert named == registered


def test_what_a_method_refuses_is_not_said_to_be_taken():
    row = next(line for line in load("support_matrix").table().splitlines() if line.startswith("| `wbp`"))
    assert row.split(" | ")[1:5] == ["yes", "no", "yes", "no"]
