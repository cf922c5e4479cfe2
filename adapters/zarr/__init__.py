"""Zarr and OME-Zarr as a format of tomoprior."""

from .format import Zarr

__all__ = ["Zarr"]
