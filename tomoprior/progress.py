"""Progress bars over iterations with the residual and the time left: in a terminal or in a notebook.

``tqdm.auto`` is not used, for three reasons. It chooses between terminal and notebook once, at its import; it warns in a
notebook without ipywidgets; and there it draws nothing, since standard error is not a terminal. The total of a
bar can also change here, for which tqdm's widget has no public call that keeps the time already spent.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any, Protocol


class Progress(Protocol):
    """A function called once per iteration. An exception from it, such as ``KeyboardInterrupt``, ends the method."""

    def __call__(self, iteration: int, num_iter: int, values: dict[str, float], /) -> None:
        """Report an iteration, counted from 1, of ``num_iter``; ``values`` are shown, such as ``residual``."""


@contextmanager
def progress_bar(title: str = "") -> Iterator[Progress]:
    """Draw a bar; its value is the argument ``progress`` of ``reconstruct`` and of other long calls.

    In a terminal, the bar is drawn on standard error. In a notebook it is a widget, or text if ipywidgets is not installed.
    In a file or a pipe nothing is drawn.

    Parameters
    ----------
    title
        Text before the bar.

    Yields
    ------
    Progress
        Takes the iteration, counted from 1, the number of iterations, and values to show, such as the residual.

    Examples
    --------
    >>> import numpy as np
    >>> import tomoprior
    >>> geometry = tomoprior.Geometry(np.deg2rad([-60, 0, 60]), (8, 4, 8))
    >>> series = tomoprior.TiltSeries(np.ones((3, 4, 8), np.float32), geometry)
    >>> with tomoprior.progress_bar("sirt") as progress:
    ...     result = tomoprior.reconstruct(series, "sirt", num_iter=5, device="cpu", progress=progress)
    """
    with _new_bar(title) as bar:

        def step(iteration: int, num_iter: int, values: dict[str, float], /) -> None:
            if bar.disable:
                return
            _set_total(bar, num_iter)
            if values:
                bar.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
            bar.update(iteration - bar.n)

        yield step


@contextmanager
def stages_bar() -> Iterator[Callable[[str, str, int, int], None]]:
    """Draw a bar for each of several jobs with stages: the argument ``progress`` of ``tomoprior.compare``.

    Where a bar cannot be drawn, each stage is a line on standard error, for the logs of batch jobs.

    Yields
    ------
    step
        Takes the name of a job, its stage, the iteration and the number of iterations.
    """
    bar: Any = None
    last = ("", "")

    def step(job: str, stage: str, iteration: int, num_iter: int) -> None:
        nonlocal bar, last
        if job != last[0]:
            if bar is not None:
                bar.close()
            bar = _new_bar(job)
        if (job, stage) != last:
            last = (job, stage)
            if bar.disable:
                sys.stderr.write(f"{job}: {stage}\n")
                sys.stderr.flush()
            else:
                bar.reset(total=num_iter)
                bar.set_description(f"{job}: {stage}")
        if not bar.disable:
            _set_total(bar, num_iter)
            bar.update(iteration - bar.n)

    try:
        yield step
    finally:
        if bar is not None:
            bar.close()


def _new_bar(title: str) -> Any:
    common: dict[str, Any] = {"desc": title or None, "leave": True, "unit": "it"}
    if not in_notebook():
        from tqdm import tqdm

        return tqdm(disable=None, dynamic_ncols=True, **common)  # None: draw only in a terminal
    if find_spec("ipywidgets") is not None:
        from tqdm.notebook import tqdm as widget

        return widget(**common)
    from tqdm import tqdm

    return tqdm(ncols=100, **common)  # the output of a notebook is not a terminal, but can overwrite a line of text


def _set_total(bar: Any, num_iter: int) -> None:
    """Set a total that is known only now or has changed (a training limited in time), and keep the time already spent."""
    if bar.total is None and hasattr(bar, "container"):  # a widget without a length until now
        started = bar.start_t
        bar.reset(total=num_iter)
        bar.start_t = started
    elif bar.total != num_iter and hasattr(bar, "container"):
        bar.container.children[1].max = num_iter
    bar.total = num_iter


def in_notebook() -> bool:
    """Return whether Python runs in a Jupyter kernel."""
    if "IPython" not in sys.modules:
        return False
    shell = sys.modules["IPython"].get_ipython()
    return shell is not None and hasattr(shell, "kernel")
