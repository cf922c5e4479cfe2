"""tomoprior: learned and classical reconstruction of limited-angle tomography.

This module is the public interface. A name is imported at its first use, so that ``import tomoprior`` and
``tomoprior --help`` stay fast.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import lazy_loader

# In a checkout, the adapters lie beside this folder; in an installation, they lie inside it. Without this line, Python
# started in the root of a checkout finds this folder first and no adapter.
if not (Path(__file__).parent / "adapters").is_dir() and (Path(__file__).parents[1] / "adapters").is_dir():
    __path__.append(str(Path(__file__).parents[1]))

if TYPE_CHECKING:  # the same names for type checkers
    from collections.abc import Mapping
    from typing import Any

    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    from tomoprior import errors as errors
    from tomoprior import methods as methods
    from tomoprior import metrics as metrics
    from tomoprior import microscopy as microscopy
    from tomoprior import plot as plot
    from tomoprior import simulate as simulate
    from tomoprior import testing as testing
    from tomoprior import training as training
    from tomoprior._version import __version__ as __version__
    from tomoprior.alignment import align as align
    from tomoprior.comparison import compare as compare
    from tomoprior.formats import open_stack as open_stack
    from tomoprior.formats import read as read
    from tomoprior.formats import read_volume as read_volume
    from tomoprior.formats import write as write
    from tomoprior.formats import write_series as write_series
    from tomoprior.geometry import FanGeometry as FanGeometry
    from tomoprior.geometry import Geometry as Geometry
    from tomoprior.progress import progress_bar as progress_bar
    from tomoprior.projector import FilteredProjector as FilteredProjector
    from tomoprior.projector import LinearOperator as LinearOperator
    from tomoprior.projector import Projector as Projector
    from tomoprior.projector import clear_cache as clear_cache
    from tomoprior.reconstruction import Reconstruction as Reconstruction
    from tomoprior.running.estimate import estimate as estimate
    from tomoprior.running.fusion import fuse as fuse
    from tomoprior.running.half_choice import choose_by_halves as choose_by_halves
    from tomoprior.running.halves import reconstruct_halves as reconstruct_halves
    from tomoprior.running.reconstruct import reconstruct as reconstruct
    from tomoprior.series import TiltSeries as TiltSeries
    from tomoprior.series.pixels import repair_pixels as repair_pixels
    from tomoprior.series.rebinning import rebin_fan as rebin_fan
    from tomoprior.series.support import support_from_projections as support_from_projections

    AstraOperator: Any  # of tomoprior.adapters

    # the signatures of tomoprior.adapters.tomopy, which lies elsewhere in a checkout; a test compares them
    def algorithm(  # noqa: D103
        tomo: NDArray[np.float32],
        center: NDArray[np.float32],
        recon: NDArray[np.float32],
        theta: NDArray[np.float32],
        *,
        num_gridx: int | None = None,
        num_gridy: int | None = None,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None: ...
    def recon(  # noqa: D103
        tomo: ArrayLike,
        theta: ArrayLike,
        center: ArrayLike | None = None,
        sinogram_order: bool = False,
        algorithm: str | None = None,
        init_recon: ArrayLike | None = None,
        ncore: int | None = None,
        nchunk: int | None = None,
        **kwargs: Any,
    ) -> Any: ...
else:
    __getattr__, __dir__, __all__ = lazy_loader.attach(
        __name__,
        submodules=["errors", "methods", "metrics", "microscopy", "plot", "simulate", "testing", "training"],
        submod_attrs={
            "_version": ["__version__"],
            "adapters.astra.operator": ["AstraOperator"],
            "alignment": ["align"],
            "adapters.tomopy": ["algorithm", "recon"],
            "comparison": ["compare"],
            "formats": ["open_stack", "read", "read_volume", "write", "write_series"],
            "geometry": ["FanGeometry", "Geometry"],
            "progress": ["progress_bar"],
            "projector": ["FilteredProjector", "LinearOperator", "Projector", "clear_cache"],
            "reconstruction": ["Reconstruction"],
            "running.estimate": ["estimate"],
            "running.fusion": ["fuse"],
            "running.half_choice": ["choose_by_halves"],
            "running.halves": ["reconstruct_halves"],
            "running.reconstruct": ["reconstruct"],
            "series": ["TiltSeries"],
            "series.pixels": ["repair_pixels"],
            "series.rebinning": ["rebin_fan"],
            "series.support": ["support_from_projections"],
        },
    )
