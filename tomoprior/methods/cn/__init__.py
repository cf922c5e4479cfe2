"""Coordinate networks: the volume as a continuous function of position, fitted to the tilt series alone.

Users see ``settings``, ``method`` and the result, a ``field``. The modules ``spline``, ``primal_dual``, ``held_out``,
``hyperparameters`` and ``fitting`` fit fields that are linear in their weights; ``encoders``, ``network``, ``descent`` and
``training`` fit fields with a neural network.
"""

from tomoprior.methods.cn.field import Field
from tomoprior.methods.cn.loading import load_field
from tomoprior.methods.cn.settings import CNSettings

__all__ = ["CNSettings", "Field", "load_field"]
