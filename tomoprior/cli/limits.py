"""The limits of a shell (``ulimit``) that make a program fail in ways that do not name them."""

from __future__ import annotations

import errno
import resource
import sys

#: Options of ``ulimit``, what they bound, the unit in bytes (0: a number), and how much a run needs.
_LIMITS = (
    ("v", "address space", resource.RLIMIT_AS, 1 << 10, 8 << 30),
    ("d", "data", resource.RLIMIT_DATA, 1 << 10, 8 << 30),
    ("n", "open files", resource.RLIMIT_NOFILE, 0, 256),
    ("u", "processes and threads", resource.RLIMIT_NPROC, 0, 256),
    ("f", "size of a file", resource.RLIMIT_FSIZE, 1 << 10, sys.maxsize),
)


def describe_limits(error: BaseException) -> str:
    """Return the limits of this process that can explain ``error``, as text to append; empty if there are none."""
    text = str(error).lower()
    number = getattr(error, "errno", None)
    if number == errno.EMFILE or "too many open files" in text:
        wanted = "n"
    elif "start new thread" in text or number == errno.EAGAIN or "resource temporarily unavailable" in text:
        wanted = "uvd"
    elif number == errno.EFBIG or "file too large" in text:
        wanted = "f"
    elif isinstance(error, MemoryError) or number == errno.ENOMEM or "memory" in text or "failed to map" in text:
        wanted = "vd"
    else:
        return ""
    lines = []
    for option, what, kind, unit, enough in _LIMITS:
        limit = resource.getrlimit(kind)[0]
        if option in wanted and limit != resource.RLIM_INFINITY and limit < enough:
            value = limit // unit if unit else limit
            lines.append(f"ulimit -{option} is {value} ({what})")
    return f"; {' and '.join(lines)}: raise it" if lines else ""
