"""Pages of the API reference: one for each public module, with what its ``__all__`` lists."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

#: Public modules and the sentence that introduces each.
MODULES = {
    "tomoprior": "What most scripts need. Everything is imported when it is first used.",
    "tomoprior.alignment": "Alignment of raw tilt series.",
    "tomoprior.methods": "The reconstruction methods by name, and the protocol that a method follows.",
    "tomoprior.metrics": "Measures of a volume against a truth.",
    "tomoprior.microscopy": "Contrast transfer and radiation damage of an electron microscope.",
    "tomoprior.comparison": "Several methods on one series, with evidence.",
    "tomoprior.plot": "Figures of volumes, correlations and residuals.",
    "tomoprior.simulate": "Phantoms and the tilt series that a microscope records of them.",
    "tomoprior.training": "Training of a prior for the `diffusion` method.",
    "tomoprior.formats": "Reading and writing, and what a file format provides.",
    "tomoprior.projector": "The differentiable projector and linear operators.",
    "tomoprior.testing": "Conformance checks for plug-ins.",
    "tomoprior.errors": "The exceptions. Each message is one line for a user.",
}

#: Names in ``tomoprior`` that are modules and have a page of their own.
_MODULES_IN_ROOT = {"methods", "metrics", "microscopy", "plot", "simulate", "errors", "testing", "training"}


def public_names(module: str) -> list[str]:
    """Sorted public names of a module: its ``__all__``, or the classes and functions that it defines."""
    loaded = import_module(module)
    names = getattr(loaded, "__all__", None)
    if names is None:
        names = [name for name, value in vars(loaded).items() if getattr(value, "__module__", None) == module]
    hidden = _MODULES_IN_ROOT | {"__version__"} if module == "tomoprior" else set()
    return sorted((name for name in names if not name.startswith("_") and name not in hidden), key=str.lower)


def write(folder: Path) -> None:
    """Write ``MODULE.md`` for each public module, and leave files alone whose text stays the same."""
    folder.mkdir(exist_ok=True)
    documented: list[object] = []
    for module, sentence in MODULES.items():
        objects = {name: getattr(import_module(module), name) for name in public_names(module)}
        # an object that two modules offer has its page under the first
        names = [name for name, value in objects.items() if not any(value is other for other in documented)]
        documented += objects.values()
        entries = "".join(f"   {module}.{name}\n" for name in names)
        table = f".. autosummary::\n   :toctree: generated\n   :nosignatures:\n\n{entries}"
        _write(folder / f"{module}.md", f"# {module}\n\n{sentence}\n\n```{{eval-rst}}\n{table}```\n")
    toctree = "```{toctree}\n:maxdepth: 1\n\n" + "\n".join(MODULES) + "\n```\n"
    _write(folder / "index.md", f"# API reference\n\nThe public names, by module.\n\n{toctree}")


def _write(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text() != text:
        path.write_text(text)
