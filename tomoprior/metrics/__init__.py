"""Measures of agreement between a volume and a reference.

``voxel`` and ``information`` compare values, ``fourier`` frequencies, in all or only in the directions that a tilt series
measured. ``matching`` fits scale and offset where that is asked for, ``paper`` follows a published evaluation step by step, and
``scores`` takes all measures at once.
"""

from tomoprior.deprecation import deprecated_names
from tomoprior.metrics.fourier import FSC, directional_fsc, fsc, measured_region, split_measured
from tomoprior.metrics.information import vif
from tomoprior.metrics.matching import match_scale
from tomoprior.metrics.scores import evaluate
from tomoprior.metrics.voxel import psnr, rmse, ssim

__all__ = [
    "FSC",
    "directional_fsc",
    "evaluate",
    "fsc",
    "match_scale",
    "measured_region",
    "psnr",
    "rmse",
    "split_measured",
    "ssim",
    "vif",
]

__getattr__ = deprecated_names(__name__, {"matched": "match_scale", "measured": "measured_region", "split": "split_measured"})
