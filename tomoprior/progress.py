"""A bar over iterations with the residual and the time left: in a terminal, or in a notebook."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol


class Progress(Protocol):
    """Called once an iteration; what it raises (``KeyboardInterrupt``, say) ends the method."""

    def __call__(self, iteration: int, num_iter: int, values: dict[str, float], /) -> None:
        """``iteration`` counts from 1; ``values`` holds what there is to show, such as ``residual``."""


@contextmanager
def progress_bar(title: str = "") -> Iterator[Progress]:
    """A bar, to be given to whatever takes ``progress``.

    In a terminal it is drawn on standard error, in a notebook as a widget, or as text where ipywidgets is not installed. In a
    file or a pipe nothing is drawn.

    Parameters
    ----------
    title
        What stands before the bar.

    Yields
    ------
    Progress
        Called with the iteration, counted from 1, their number, and values to show, such as the residual.

    Examples
    --------
    >>> with tomoprior.progress_bar("tv") as progress:
    ...     result = tomoprior.reconstruct(series, "tv", progress=progress)
    """
    with _bar(title) as shown:

        def step(iteration: int, num_iter: int, values: dict[str, float], /) -> None:
            if shown.disable:
                return
            _set_total(shown, num_iter)
            if values:
                shown.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
            shown.update(iteration - shown.n)

        yield step


@contextmanager
def stages_bar() -> Iterator[Callable[[str, str, int, int], None]]:
    """A bar for each of several jobs that have stages: ``tomoprior.compare`` takes it as ``progress``.

    Where nothing can be drawn, each stage is a line on standard error, for the logs of batch jobs.

    Yields
    ------
    step
        Called with a job's name, its stage, the iteration and their number.
    """
    shown: Any = None
    last = ("", "")

    def step(job: str, stage: str, iteration: int, num_iter: int) -> None:
        nonlocal shown, last
        if job != last[0]:
            if shown is not None:
                shown.close()
            shown = _bar(job)
        if (job, stage) != last:
            last = (job, stage)
            if shown.disable:
                sys.stderr.write(f"{job}: {stage}\n")
                sys.stderr.flush()
            else:
                shown.reset(total=num_iter)
                shown.set_description(f"{job}: {stage}")
        if not shown.disable:
            _set_total(shown, num_iter)
            shown.update(iteration - shown.n)

    try:
        yield step
    finally:
        if shown is not None:
            shown.close()


def _bar(title: str) -> Any:
    common: dict[str, Any] = {"desc": title or None, "leave": True, "unit": "it"}
    if not in_notebook():
        from tqdm import tqdm

        return tqdm(disable=None, dynamic_ncols=True, **common)  # None: only in a terminal
    if find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as widget

        return widget(**common)
    from tqdm import tqdm

    return tqdm(ncols=100, **common)  # a notebook's output is no terminal, but shows text that is drawn over


def _set_total(shown: Any, num_iter: int) -> None:
    """A total that is known only now, or has changed (a training by the clock), without beginning anew."""
    if shown.total is None and hasattr(shown, "container"):  # a widget that could not know its length
        started = shown.start_t
        shown.reset(total=num_iter)
        shown.start_t = started
    elif shown.total != num_iter and hasattr(shown, "container"):
        shown.container.children[1].max = num_iter
    shown.total = num_iter


def in_notebook() -> bool:
    """True in a Jupyter kernel."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")
