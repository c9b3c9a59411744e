"""The time limit of a search. The caller passes the clock."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Deadline:
    """A limit of `seconds` after `started`, measured by `clock`."""

    clock: Callable[[], float]
    seconds: float
    started: float

    @classmethod
    def starting(cls, clock: Callable[[], float], seconds: float) -> "Deadline":
        """A deadline this many seconds from now."""
        return cls(clock, seconds, clock())

    def expired(self) -> bool:
        """Whether the deadline has passed. NaN counts as passed."""
        return not self.clock() - self.started <= self.seconds


NO_DEADLINE = Deadline(lambda: 0.0, inf, 0.0)
"""A deadline that never passes."""
