"""The electron microscope as a linear filter of images: contrast transfer function and radiation damage, tilt by tilt."""

from tomoprior.microscopy.ctf import CTF
from tomoprior.microscopy.exposure import critical_exposure, exposure_filter
from tomoprior.microscopy.filtering import filter_images, flip_phases, weight_by_dose
from tomoprior.microscopy.transfer import Transfer

__all__ = [
    "CTF",
    "Transfer",
    "critical_exposure",
    "exposure_filter",
    "filter_images",
    "flip_phases",
    "weight_by_dose",
]
