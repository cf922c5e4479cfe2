"""The command line: one module per command, ``errors`` for exit codes, ``console`` for printed lines.

Torch and other large libraries are imported when a command runs, so that ``tomoprior --help`` answers at once.
"""

from tomoprior.cli.app import main

__all__ = ["main"]
