"""The examples in docstrings run and print what they show. Add a public object to the list when it has an example."""

from __future__ import annotations

import doctest
import importlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

#: Functions and classes with an example, in any of their docstrings: ``module:object``.
WITH_EXAMPLE = [
    "tomoprior.geometry:Geometry",
    "tomoprior.memory:format_bytes",
    "tomoprior.progress:progress_bar",
    "tomoprior.projector:LinearOperator",
    "tomoprior.projector:Projector",
    "tomoprior.projector:clear_cache",
    "tomoprior.reconstruction:Reconstruction",
    "tomoprior.series:TiltSeries",
    "tomoprior.series.pixels:repair_pixels",
    "tomoprior.storage.digest:compute_digest",
    "tomoprior.testing:check_method",
    "tomoprior.testing:check_operator",
    "tomoprior.testing:check_projector",
]

FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.fixture
def in_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A folder of the example's own, and the random state and thread count that it found."""
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    monkeypatch.chdir(tmp_path)
    yield
    torch.set_rng_state(state)
    torch.set_num_threads(threads)
    assert os.getcwd() == str(tmp_path)


@pytest.mark.usefixtures("in_new_folder")
@pytest.mark.parametrize("name", WITH_EXAMPLE)
def test_the_examples_run(name: str) -> None:
    module, _, attribute = name.partition(":")
    thing = getattr(importlib.import_module(module), attribute)
    examples = [test for test in doctest.DocTestFinder(recurse=True).find(thing, attribute, globs={}) if test.examples]
    assert examples, f"{name} has no example"
    lines: list[str] = []
    for example in examples:
        doctest.DocTestRunner(optionflags=FLAGS).run(example, out=lines.append, clear_globs=False)
    assert not lines, "".join(lines)


def test_an_example_that_prints_something_else_is_noticed() -> None:
    wrong = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "wrong", None, 0)
    lines: list[str] = []
    doctest.DocTestRunner(optionflags=FLAGS).run(wrong, out=lines.append)
    assert "Expected:\n    3\nGot:\n    2\n" in lines[0]
