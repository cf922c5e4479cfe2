"""MRC files as a format of tomoprior."""

from .format import MRC

__all__ = ["MRC"]
