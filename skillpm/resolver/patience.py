"""How long a search may take, by a clock that comes from outside."""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class Deadline:
    """`seconds` by `clock`, which counts from `started`."""

    clock: Callable[[], float]
    seconds: float
    started: float

    @classmethod
    def starting(cls, clock: Callable[[], float], seconds: float) -> "Deadline":
        """So many seconds from now on."""
        return cls(clock, seconds, clock())

    def expired(self) -> bool:
        """Whether the time is up."""
        return not self.clock() - self.started <= self.seconds


NO_DEADLINE = Deadline(lambda: 0.0, inf, 0.0)
"""For whom no time passes."""
