"""The examples in docstrings run and print what they show: all of them, wherever they are."""

from __future__ import annotations

import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import tomoprior

#: Public objects that must have an example, ``module:object``. Add an object here when its docstring gets one.
WITH_EXAMPLE = [
    "tomoprior.geometry:FanGeometry",
    "tomoprior.geometry:Geometry",
    "tomoprior.progress:progress_bar",
    "tomoprior.projector:LinearOperator",
    "tomoprior.projector:Projector",
    "tomoprior.projector:clear_cache",
    "tomoprior.reconstruction:Reconstruction",
    "tomoprior.series:TiltSeries",
    "tomoprior.series.pixels:repair_pixels",
    "tomoprior.series.rebinning:rebin_fan",
    "tomoprior.series.support:support_from_projections",
    "tomoprior.simulate:simulate",
    "tomoprior.testing:check_method",
    "tomoprior.testing:check_operator",
    "tomoprior.testing:check_projector",
]

CORE = Path(tomoprior.__file__).parent
#: Modules with an example anywhere; an adapter can need a library that is not installed.
MODULES = sorted(
    ".".join(("tomoprior", *path.relative_to(CORE).with_suffix("").parts)).removesuffix(".__init__")
    for path in CORE.rglob("*.py")
    if ">>> " in path.read_text(encoding="utf-8")
)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.fixture
def in_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An empty working folder; the random state and the number of threads are restored."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_rng_state(state)
    torch.set_num_threads(threads)


def names_for_examples(module: ModuleType) -> dict[str, Any]:
    """The names that an example can use without an import: NumPy as np, tomoprior, and the objects of its own module."""
    own = {name: value for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__}
    return {**own, "np": np, "tomoprior": tomoprior}


def failures(examples: doctest.DocTest) -> str:
    """Return the faults of the examples of one docstring; empty if there are none."""
    lines: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(examples, out=lines.append)
    return "".join(lines)


@pytest.mark.usefixtures("in_new_folder")
@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_a_module_run(name: str) -> None:
    module = importlib.import_module(name)
    examples_of_module = [
        test for test in doctest.DocTestFinder().find(module, globs=names_for_examples(module)) if test.examples
    ]
    assert examples_of_module, f"no docstring of {name} has the example that its text shows"
    assert not "".join(failures(test) for test in examples_of_module)


@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_the_most_used_objects_have_an_example(name: str) -> None:
    module, _, attribute = name.partition(":")
    assert ">>> " in getattr(importlib.import_module(module), attribute).__doc__


def test_an_example_that_prints_something_else_is_noticed() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    assert "Expected:\n    3\nGot:\n    2\n" in failures(wrong)
