"""A budget of seconds for one method."""

from __future__ import annotations

import time


class OutOfTime(KeyboardInterrupt):
    """The budget is used up. A method that keeps its best volume at Ctrl-C keeps it here too."""


class Budget:
    """The seconds that one method may use, and those that it has used.

    Parameters
    ----------
    seconds
        The limit, or None for no limit.
    """

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self._start = time.monotonic()
        self._earlier = 0.0

    @property
    def used(self) -> float:
        """Seconds used so far, those of an earlier run included."""
        return self._earlier + time.monotonic() - self._start

    def add_earlier(self, seconds: float) -> None:
        """Count the seconds that an earlier run spent on a part that is kept."""
        self._earlier += seconds

    def is_over(self, share: float = 1.0) -> bool:
        """Return whether more than ``share`` of the budget is used up."""
        return self.seconds is not None and self.used > share * self.seconds

    def check(self, share: float = 1.0) -> None:
        """Raise OutOfTime if more than ``share`` of the budget is used up."""
        if self.is_over(share):
            raise OutOfTime
