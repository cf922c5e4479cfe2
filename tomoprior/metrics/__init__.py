"""Measures of agreement between a volume and a reference.

``voxel`` and ``information`` compare values. ``fourier`` compares frequencies, in all directions or only in those that a tilt
series measured (``regions``), and ``curve`` gives the resolution of such a comparison. ``matching`` fits scale and offset on
request, ``paper`` follows a published evaluation step by step, and ``scores`` computes all measures at once.
"""

from tomoprior.deprecation import deprecated_names
from tomoprior.metrics.curve import FSC
from tomoprior.metrics.fourier import directional_fsc, fsc, fsc_of_halves, soft_mask
from tomoprior.metrics.information import vif
from tomoprior.metrics.matching import match_scale
from tomoprior.metrics.regions import measured_region, split_measured
from tomoprior.metrics.scores import evaluate
from tomoprior.metrics.voxel import psnr, rmse, ssim

__all__ = [
    "FSC",
    "directional_fsc",
    "evaluate",
    "fsc",
    "fsc_of_halves",
    "match_scale",
    "measured_region",
    "psnr",
    "rmse",
    "soft_mask",
    "split_measured",
    "ssim",
    "vif",
]

__getattr__ = deprecated_names(__name__, {"matched": "match_scale", "measured": "measured_region", "split": "split_measured"})
