"""Alignment of tilt series: shifts, tilt axis and weights of the images, from the images themselves."""

from tomoprior.alignment.estimate import estimate_alignment
from tomoprior.alignment.result import Alignment
from tomoprior.alignment.series import align
from tomoprior.alignment.settings import AlignSettings

__all__ = ["AlignSettings", "Alignment", "align", "estimate_alignment"]
