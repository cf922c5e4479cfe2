"""Every error that tomoprior raises on purpose: one base class, so that a caller can catch them all.

Each also derives from the built-in that Python users expect (``ValueError``, ``OSError``, ...). The message is one
line that says what is wrong and, where there is one, the way out.
"""

from __future__ import annotations

from typing import Any


class TomopriorError(Exception):
    """Base class of all errors that tomoprior raises on purpose."""


class GeometryError(TomopriorError, ValueError):
    """The geometry is impossible or contradicts itself (angles, shapes, centre, shifts)."""


class InputError(TomopriorError, ValueError):
    """An array or a tilt series does not fit what was asked of it (shape, type, bad pixels, empty selection)."""


class SettingsError(TomopriorError, ValueError):
    """A method's setting is unknown or has a value that it cannot take."""


class UnknownNameError(TomopriorError, LookupError):
    """No method, projector or format of that name is installed."""


class FormatError(TomopriorError, OSError):
    """A file cannot be read or written: unknown kind, truncated, or a header that contradicts the file."""


class NoSuchFileError(FormatError, FileNotFoundError):
    """A file or folder that was named does not exist, or an output's name says no known format."""


class OutputExistsError(TomopriorError, FileExistsError):
    """The output exists already and overwriting was not asked for."""


class BackendError(TomopriorError, RuntimeError):
    """A projector backend cannot run here, or failed while running."""


class MissingDependencyError(TomopriorError, ImportError):
    """An optional package is needed and is not installed; the message says how to install it."""


class ReadingWarning(UserWarning):
    """A file was read, and something about it is doubtful: the line that the command line prints as a note."""


class Interrupted(KeyboardInterrupt):
    """A long run was interrupted, and what it had so far is kept.

    Attributes
    ----------
    result
        What the call would have returned, as good as it was by then.
    """

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result
