"""The errors that tomoprior raises on purpose. All have one base class, so that a caller can catch them together.

Each also derives from the built-in class that Python users expect (``ValueError``, ``OSError``, ...). The message is one
line with the fault and, where possible, the remedy.

Environment variables
---------------------
``TOMOPRIOR_MATRIX_BUDGET``
    Memory for system matrices of projectors, in MiB. Default: a quarter of the free memory. It decides whether
    ``backend="auto"`` uses a matrix, and bounds the matrices kept for later projectors. ``tomoprior.clear_cache()`` frees
    them. Not a number: BackendError.
``TOMOPRIOR_CACHE_DIR``
    Folder in which system matrices are kept between runs. Default: none, and nothing is read or written. A damaged entry is
    built again.
``TOMOPRIOR_DATA``
    Folder with the files of phantoms (atomic models, density maps in ``maps/``), used where a phantom gets no ``file``.
    Default: none.
``TOMOPRIOR_DEBUG``
    Any value but an empty one: the command line also prints the traceback of an unexpected error. Default: one line only.
"""

from __future__ import annotations

from typing import Any


class TomopriorError(Exception):
    """Base class of all errors that tomoprior raises on purpose."""


class GeometryError(TomopriorError, ValueError):
    """The geometry is impossible or inconsistent (angles, shapes, centre, shifts)."""


class InputError(TomopriorError, ValueError):
    """An array or a tilt series does not fit the request (shape, type, bad pixels, empty selection)."""


class SettingsError(TomopriorError, ValueError):
    """A setting is unknown or has a value that is not allowed."""


class UnknownNameError(TomopriorError, LookupError):
    """No method, projector, format or executor of that name is installed."""


class FormatError(TomopriorError, OSError):
    """A file cannot be read or written: unknown format, truncated, or a header that contradicts the file."""


class NoSuchFileError(FormatError, FileNotFoundError):
    """A named file or folder does not exist, or the name of an output has no known format."""


class OutputExistsError(TomopriorError, FileExistsError):
    """The output exists, and overwriting is not enabled."""


class BackendError(TomopriorError, RuntimeError):
    """A projector backend cannot run here, or failed while running."""


class MissingDependencyError(TomopriorError, ImportError):
    """A required optional package is not installed; the message names the way to install it."""


class ReadingWarning(UserWarning):
    """A file was read, and something about it is doubtful: the line that the command line prints as a note."""


class ResultWarning(UserWarning):
    """A reconstruction was made, and something makes it doubtful: the line that the command line prints as a note."""


class Interrupted(KeyboardInterrupt):
    """A long run was interrupted, and its intermediate result is available.

    Attributes
    ----------
    result
        The return value of the call, as of the interruption.
    """

    def __init__(self, result: Any) -> None:
        super().__init__()
        self.result = result
