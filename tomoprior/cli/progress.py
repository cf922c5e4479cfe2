"""The command line's bar."""

from tomoprior.progress import progress_bar as bar
from tomoprior.progress import stages_bar as stages

__all__ = ["bar", "stages"]
