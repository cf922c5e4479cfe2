"""A budget of seconds for one method."""

from __future__ import annotations

import time


class OutOfTime(KeyboardInterrupt):
    """The budget is used up; methods that keep what they have at Ctrl-C keep it here too."""


class Budget:
    """Seconds used so far, those of an earlier run counted in.

    Parameters
    ----------
    budget
        Seconds, or None for no end.
    """

    def __init__(self, budget: float | None) -> None:
        self.budget = budget
        self._began = time.monotonic()
        self._earlier = 0.0

    @property
    def used(self) -> float:
        """Seconds."""
        return self._earlier + time.monotonic() - self._began

    def earlier(self, seconds: float) -> None:
        """Count what an earlier run took for a part that is kept."""
        self._earlier += seconds

    def check(self, share: float = 1.0) -> None:
        """Raise OutOfTime if more than ``share`` of the budget is used up."""
        if self.over(share):
            raise OutOfTime

    def over(self, share: float = 1.0) -> bool:
        """Whether more than ``share`` of the budget is used up."""
        return self.budget is not None and self.used > share * self.budget
