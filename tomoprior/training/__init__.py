"""Training of a prior for the diffusion method on the user's volumes."""

from tomoprior.training.calibration import calibrate
from tomoprior.training.error_network import ErrorTrainingSettings, calibrate_error_network, train_error_network
from tomoprior.training.inspection import sample_tissue, tile_flops
from tomoprior.training.settings import TrainingSettings
from tomoprior.training.train import train

__all__ = [
    "ErrorTrainingSettings",
    "TrainingSettings",
    "calibrate",
    "calibrate_error_network",
    "sample_tissue",
    "tile_flops",
    "train",
    "train_error_network",
]
