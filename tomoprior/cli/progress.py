"""The command line's bar."""

from tomoprior.progress import progress_bar as bar

__all__ = ["bar"]
