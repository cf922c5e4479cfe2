"""Files of electron microscopes' own programs as a format of tomoprior, through RosettaSciIO."""

from .format import EM

__all__ = ["EM"]
