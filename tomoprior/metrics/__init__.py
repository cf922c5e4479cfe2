"""Measures of agreement between a volume and a reference."""

from tomoprior.metrics.voxel import psnr, rmse, ssim

__all__ = ["psnr", "rmse", "ssim"]
