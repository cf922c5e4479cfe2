"""Measures of agreement between a volume and a reference.

``voxel`` and ``information`` compare values, ``fourier`` frequencies, in all or only in the directions that a tilt series
measured. ``matching`` fits scale and offset where that is asked for, ``paper`` follows a published evaluation step by step, and
``scores`` takes all measures at once.
"""

from tomoprior.metrics.fourier import FSC, directional_fsc, fsc, measured, split
from tomoprior.metrics.information import vif
from tomoprior.metrics.matching import matched
from tomoprior.metrics.scores import evaluate
from tomoprior.metrics.voxel import psnr, rmse, ssim

__all__ = ["FSC", "directional_fsc", "evaluate", "fsc", "matched", "measured", "psnr", "rmse", "split", "ssim", "vif"]
