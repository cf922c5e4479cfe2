"""The number of CPU threads that torch uses, set for one block of code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from tomoprior.errors import SettingsError
from tomoprior.storage.torch_state import most_threads


@contextmanager
def limit_threads(count: int | None) -> Iterator[None]:
    """Let torch use ``count`` CPU threads inside the block, and restore the earlier number after it.

    Parameters
    ----------
    count
        Number of threads; None leaves the number as it is.

    Raises
    ------
    SettingsError
        If ``count`` is not a positive whole number.
    """
    if count is None:
        yield
        return
    if int(count) != count or count < 1:
        raise SettingsError(f"threads must be a positive whole number, got {count}")
    before = torch.get_num_threads()
    torch.set_num_threads(most_threads(int(count)))
    try:
        yield
    finally:
        torch.set_num_threads(before)
