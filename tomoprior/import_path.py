"""The import path of Python processes that this one starts: they find what this process finds, and nothing else."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator


def describe_import_path() -> str:
    """Return ``sys.path`` as the variable ``PYTHONPATH`` for a process that is started with ``-P``.

    Without ``-P`` Python imports from the working folder first, where anybody may have put a ``numpy.py`` if it is shared.
    """
    return os.pathsep.join(_folders())


def _folders() -> Iterator[str]:
    for path in sys.path:
        if path:
            yield path
        else:  # an interactive session imports from the working folder, which may be gone
            try:
                yield os.getcwd()
            except FileNotFoundError:
                continue
