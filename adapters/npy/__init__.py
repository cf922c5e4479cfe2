"""NumPy files as a format of tomoprior."""

from .format import NPY

__all__ = ["NPY"]
