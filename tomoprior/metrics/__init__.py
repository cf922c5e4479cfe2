"""Measures of agreement between a volume and a reference.

``voxel`` compares values, ``fourier`` frequencies, in all or only in the directions that a tilt series measured.
"""

from tomoprior.metrics.fourier import FSC, directional_fsc, fsc, measured
from tomoprior.metrics.voxel import psnr, rmse, ssim

__all__ = ["FSC", "directional_fsc", "fsc", "measured", "psnr", "rmse", "ssim"]
