"""Training of a prior for the diffusion method on the user's volumes."""

from tomoprior.training.calibration import calibrate
from tomoprior.training.inspection import sample_tissue, tile_flops
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.train import train

__all__ = ["TrainingSettings", "calibrate", "sample_tissue", "tile_flops", "train"]
