"""The README and the pages: links lead somewhere, the set-up lines stand as CI takes them, the Python in them is valid."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted(p for p in (ROOT / "docs").rglob("*.md") if "reference" not in p.parts),
]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#]+)", page.read_text())
    missing = [t for t in targets if "://" not in t and "_static" not in t and not (page.parent / t).exists()]
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_in_pages_can_be_parsed(page):
    for block in re.findall(r"```python\n(.*?)```", page.read_text(), flags=re.DOTALL):
        ast.parse(block)


def test_the_readme_is_short_and_has_the_two_set_up_lines():
    lines = (ROOT / "README.md").read_text().splitlines()
    assert len(lines) < 250
    assert [line for line in lines if line.startswith("python -m pip install ")] == [
        'python -m pip install "torch==2.13.0" . && tomoprior demo',
        'python -m pip install "torch==2.13.0" -e ".[test]" && pytest',
    ]
