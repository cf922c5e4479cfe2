"""The public interface in a type checker, a terminal, a notebook and conda."""

from __future__ import annotations

import ast
import inspect
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

import tomoprior
from tomoprior.comparison.result import Comparison, Entry

ROOT = Path(__file__).parents[2]
GEOMETRY = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 4, 16), voxel_size=1.5, unit="nanometer")
SERIES = tomoprior.TiltSeries(np.ones((3, 4, 16), np.float32), GEOMETRY, metadata={"source": "<b>&.mrc"})


@pytest.mark.parametrize("name", ["recon", "algorithm"])
def test_type_checkers_see_the_signature_that_runs(name: str) -> None:
    tree = ast.parse((ROOT / "tomoprior/__init__.py").read_text())
    (stub,) = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name == name]
    signature = inspect.signature(getattr(tomoprior, name))
    shown = {a.arg: ast.unparse(a.annotation) for a in (*stub.args.args, *stub.args.kwonlyargs) if a.annotation is not None}
    runs = {p.name: p.annotation for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD}
    assert shown == runs
    defaults = [ast.unparse(d) for d in (*stub.args.defaults, *stub.args.kw_defaults) if d is not None]
    assert defaults == [repr(p.default) for p in signature.parameters.values() if p.default is not p.empty]
    assert stub.args.kwarg is not None
    assert ast.unparse(stub.returns) == str(signature.return_annotation)  # type: ignore[arg-type]


def test_a_series_and_a_reconstruction_are_shown_in_one_line() -> None:
    assert repr(SERIES) == (
        "TiltSeries(tilts 3 from -60 to 60 degrees, volume (8, 4, 16), detector (4, 16), voxel 1.5 nanometer, "
        "values float32 in memory, source <b>&.mrc)"
    )
    weighted = tomoprior.TiltSeries(SERIES.projections, GEOMETRY, np.ones(3))
    assert "weights per tilt" in repr(weighted)
    record = {"method": "sirt", "residual": 0.25, "seconds": 1.5}
    result = tomoprior.Reconstruction(np.zeros((8, 4, 16)), GEOMETRY, std=np.zeros((8, 4, 16)), provenance=record)
    assert repr(result) == (
        "Reconstruction(method sirt, volume (8, 4, 16), voxel 1.5 nanometer, residual 0.25, time 1.5 s, with std)"
    )


def test_a_comparison_is_shown_by_its_entries() -> None:
    entries = (
        Entry("wbp", "wbp", {}, evidence={"held_out": {"error": 0.125}, "truth": {"psnr": 21.5}}),
        Entry("tv", "tv", {}, "failed", "no <memory>"),
    )
    result = Comparison("s.mrc", GEOMETRY, entries, summary=("wbp & tv",))
    assert repr(result) == "Comparison(s.mrc: wbp, tv (failed))"
    html = result._repr_html_()
    assert "<td>wbp</td><td>done</td><td>0.125</td><td>21.5</td>" in html
    assert "no &lt;memory&gt;" in html
    assert "<p>wbp &amp; tv</p>" in html


def test_a_notebook_shows_a_table_with_escaped_texts() -> None:
    html = SERIES._repr_html_()
    assert "<td>voxel</td><td>1.5 nanometer</td>" in html
    assert "&lt;b&gt;&amp;.mrc" in html
    assert "<b>" not in html


def test_environment_yml_names_every_dependency_with_its_bound() -> None:
    needed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    names = {"torch": "pytorch", "matplotlib": "matplotlib-base"}
    text = (ROOT / "environment.yml").read_text()
    listed = dict(re.findall(r"^  - ([\w-]+) >=(\S+)$", text, re.MULTILINE))
    for line in needed["dependencies"]:
        name, _, bound = line.partition(">=")
        assert listed.get(names.get(name, name)) == bound, name
    assert listed["python"] == needed["requires-python"].removeprefix(">=")


@pytest.mark.parametrize(("low", "high"), [(-60, 60), (0, 90), (-1, 14)])
def test_a_range_of_degrees_is_refused(low: float, high: float) -> None:
    worst = max(abs(low), abs(high))
    with pytest.raises(tomoprior.errors.GeometryError, match=rf"{worst} radians is beyond 4 pi.*numpy.deg2rad\({worst}\)"):
        SERIES.angle_range(low, high)


def test_a_range_of_radians_may_be_open() -> None:
    assert SERIES.angle_range(-np.inf, 0.1).geometry.n_angles == 2
    assert SERIES.angle_range(-1.05, 1.05).geometry.n_angles == 3
