"""TIFF files and folders of them as a format of tomoprior."""

from .format import TIFF

__all__ = ["TIFF"]
