"""The whole stack behind a chunk of slices that ``tomopy.recon`` hands over.

TomoPy cuts the stack into chunks, by default one a core, and calls its algorithm for each in a thread. Our methods use all
threads by themselves and are fastest on the whole stack. The arrays of a chunk are views of arrays of all slices; the first
call reconstructs them all, and those that follow find their part done.
"""

from __future__ import annotations

import os
import threading
import weakref
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class WholeStack:
    """All slices of a call of ``tomopy.recon``: sinograms, centres and volume, as ``algorithm`` takes those of a chunk."""

    tomo: NDArray[np.float32]
    center: NDArray[np.float32]
    recon: NDArray[np.float32]


class FinishedStacks:
    """Volumes that one call has filled, and the slices of each that TomoPy has not asked for yet."""

    def __init__(self) -> None:
        self.lock = threading.Lock()  #: held while the whole stack is reconstructed, so that other chunks wait for it
        self._waiting: dict[int, tuple[weakref.ref[Any], NDArray[np.bool_]]] = {}

    def add(self, recon: NDArray[np.float32], stack: WholeStack) -> None:
        """Note that all slices are done, and that the chunk ``recon`` has its own."""
        key = id(stack.recon)
        waiting = np.ones(len(stack.recon), bool)
        self._waiting[key] = (weakref.ref(stack.recon, lambda _: self._waiting.pop(key, None)), waiting)
        self.take(recon)

    def take(self, recon: NDArray[np.float32]) -> bool:
        """Return whether the slices of this chunk are done; each is given away once, so that a new call starts anew."""
        found = self._waiting.get(id(recon.base))
        if found is None:
            return False
        whole, waiting = found[0](), found[1]
        first = _first_slice(recon, whole) if whole is not None and id(whole) == id(recon.base) else None
        if first is None or not waiting[first : first + len(recon)].all():
            return False
        waiting[first : first + len(recon)] = False
        if not waiting.any():
            del self._waiting[id(recon.base)]
        return True


finished = FinishedStacks()


def _renew() -> None:
    """Forget everything in a forked process: a thread of the parent may hold the lock and would never release it there."""
    global finished
    finished = FinishedStacks()


os.register_at_fork(after_in_child=_renew)


def find_whole_stack(tomo: Any, center: Any, recon: Any, unset: np.float32) -> WholeStack | None:
    """Return all slices of the call to which a chunk belongs, or None if it is no chunk of TomoPy's or they cannot be seen.

    Parameters
    ----------
    tomo, center, recon
        As in ``algorithm``, of several slices.
    unset
        The value of a volume that TomoPy has made and no call has written.
    """
    whole = getattr(recon, "base", None)
    if "TOMOPY_PYTHON_THREADS" not in os.environ or type(whole) is not np.ndarray or whole.base is not None:
        return None
    first = _first_slice(recon, whole) if recon.ndim == 3 else None
    if first is None or not len(recon) < len(whole) or not np.all(whole == unset):
        return None
    tomos, centers = (_extend(part, first, len(whole)) for part in (tomo, center))
    return None if tomos is None or centers is None else WholeStack(tomos, centers, whole)


def _first_slice(part: NDArray[Any], whole: NDArray[Any]) -> int | None:
    """Return the index in ``whole`` at which ``part`` begins, if it is a range of its first axis."""
    if (
        type(part) is not np.ndarray
        or part.ndim != whole.ndim
        or part.shape[1:] != whole.shape[1:]
        or part.dtype != whole.dtype
        or not part.size
    ):
        return None
    if not (part.flags.c_contiguous and whole.flags.c_contiguous):
        return None
    first, rest = divmod(_address(part) - _address(whole), part[0].nbytes)
    return first if rest == 0 and 0 <= first <= len(whole) - len(part) else None


def _extend(part: Any, first: int, n: int) -> NDArray[Any] | None:
    """Return the ``n`` slices of which ``part`` begins with number ``first``, if the memory that it is a view of has them."""
    owner = getattr(part, "base", None)
    if type(part) is not np.ndarray or type(owner) is not np.ndarray or not part.size:  # a masked array is another type
        return None
    if not (part.flags.c_contiguous and owner.flags.c_contiguous):
        return None
    size = part[0].nbytes
    offset = _address(part) - _address(owner) - first * size
    if offset < 0 or offset + n * size > owner.nbytes:
        return None
    return np.ndarray((n, *part.shape[1:]), part.dtype, owner.reshape(-1).view(np.uint8).data, offset)


def _address(array: NDArray[Any]) -> int:
    return int(array.__array_interface__["data"][0])
