"""Training a prior of the diffusion method on a volume of one's own."""

from tomoprior.training.calibration import calibrate
from tomoprior.training.looking import sample_tissue, tile_flops
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.train import train

__all__ = ["TrainingSettings", "calibrate", "sample_tissue", "tile_flops", "train"]
