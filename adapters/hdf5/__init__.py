"""HDF5 files as a format of tomoprior."""

from .format import HDF5

__all__ = ["HDF5"]
