"""The command line: one module per command, ``errors`` for exit codes, ``progress`` for the bar.

Nothing heavy is imported until a command runs, so that ``tomoprior --help`` answers at once.
"""

from tomoprior.cli.app import main

__all__ = ["main"]
