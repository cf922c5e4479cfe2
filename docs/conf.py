"""Configuration of the documentation site: ``sphinx-build -W docs build/docs``. The build needs no network."""

from __future__ import annotations

import sys
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import diagrams  # noqa: E402 - beside this file
import reference  # noqa: E402

project = "tomoprior"
author = "The tomoprior developers"
copyright = author
release = version = installed_version("tomoprior")

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.viewcode", "numpydoc"]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}  # autosummary writes its stubs as .rst
exclude_patterns = ["_build", "_templates"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autosummary_generate = True
autosummary_ignore_module_all = False
autodoc_typehints = "none"  # the signature shows them once
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
numpydoc_class_members_toctree = False

templates_path = ["_templates"]
html_theme = "furo"
html_title = f"tomoprior {release}"
html_static_path = ["_static"]
html_show_sourcelink = False

# pages and pictures that follow from the code
diagrams.write(HERE / "_static")
reference.write(HERE / "reference")


def setup(app: Any) -> None:
    """Leave out members that a base class of another package defines: their docstrings use that package's roles."""
    app.connect("autodoc-skip-member", _skip_foreign)


def _skip_foreign(app: object, kind: str, name: str, member: object, skip: bool, options: object) -> bool | None:
    module = getattr(member, "__module__", None) or "tomoprior"
    return None if module.startswith("tomoprior") else True
