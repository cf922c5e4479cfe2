"""A bar over iterations with the residual and the time left; silent where there is no terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tomoprior.methods.base import Progress


@contextmanager
def bar(title: str) -> Iterator[Progress]:
    """A progress callback that draws a bar on standard error."""
    from tqdm import tqdm

    with tqdm(desc=title, disable=None, leave=True, unit="it", dynamic_ncols=True) as shown:

        def step(iteration: int, num_iter: int, values: dict[str, float], /) -> None:
            if shown.disable:
                return
            shown.total = num_iter
            if values:
                shown.set_postfix({k: f"{v:.4g}" for k, v in values.items()}, refresh=False)
            shown.update(iteration - shown.n)

        yield step
