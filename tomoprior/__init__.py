"""tomoprior: learned and classical reconstruction of limited-angle tomography.

This module is the public face. Everything in it is imported when it is first used, so that ``import tomoprior`` and
``tomoprior --help`` stay light.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tomoprior._version import __version__

if TYPE_CHECKING:  # what __getattr__ finds when it is asked, told to type checkers
    from tomoprior import errors as errors
    from tomoprior import methods as methods
    from tomoprior import metrics as metrics
    from tomoprior import plot as plot
    from tomoprior import simulate as simulate
    from tomoprior.comparison import compare as compare
    from tomoprior.formats import open_stack as open_stack
    from tomoprior.formats import read as read
    from tomoprior.formats import read_volume as read_volume
    from tomoprior.formats import write as write
    from tomoprior.formats import write_series as write_series
    from tomoprior.geometry import Geometry as Geometry
    from tomoprior.progress import progress_bar as progress_bar
    from tomoprior.projector import Projector as Projector
    from tomoprior.reconstruction import Reconstruction as Reconstruction
    from tomoprior.running.reconstruct import reconstruct as reconstruct
    from tomoprior.series import TiltSeries as TiltSeries

# In a checkout the adapters lie beside this folder and not inside it; installed, they are inside. Without this, Python
# started in the root of a checkout would find this folder first and no adapter.
if not (Path(__file__).parent / "adapters").is_dir() and (Path(__file__).parents[1] / "adapters").is_dir():
    __path__.append(str(Path(__file__).parents[1]))

_PUBLIC = {
    "Geometry": "tomoprior.geometry",
    "TiltSeries": "tomoprior.series",
    "Reconstruction": "tomoprior.reconstruction",
    "Projector": "tomoprior.projector",
    "open_stack": "tomoprior.formats",
    "read": "tomoprior.formats",
    "read_volume": "tomoprior.formats",
    "write": "tomoprior.formats",
    "write_series": "tomoprior.formats",
    "reconstruct": "tomoprior.running.reconstruct",
    "compare": "tomoprior.comparison",
    "progress_bar": "tomoprior.progress",
    "methods": "tomoprior.methods",
    "metrics": "tomoprior.metrics",
    "plot": "tomoprior.plot",
    "simulate": "tomoprior.simulate",
    "errors": "tomoprior.errors",
    "algorithm": "tomoprior.adapters.tomopy",
    "recon": "tomoprior.adapters.tomopy",
}
_SUBPACKAGES = ("methods", "metrics", "plot", "simulate", "errors")

__all__ = ["__version__", *sorted(_PUBLIC)]


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tomoprior' has no attribute {name!r}")
    module = import_module(_PUBLIC[name])
    value = module if name in _SUBPACKAGES else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
