"""Coordinate networks: the volume as a continuous function of position, fitted to the tilt series alone.

``settings`` and ``method`` are what a user sees; ``spline``, ``primal_dual``, ``held_out``, ``choices`` and ``fitting`` are the
fields that are linear in their weights; ``encoders``, ``network``, ``descent`` and ``training`` those with a neural network;
``field`` is what both give.
"""

from tomoprior.methods.cn.field import Field, load_field
from tomoprior.methods.cn.settings import CNSettings

__all__ = ["CNSettings", "Field", "load_field"]
