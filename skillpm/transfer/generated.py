"""How answers are drawn, and what a source returns."""

from dataclasses import dataclass
from typing import Literal

from skillpm.transfer.answers import RECORDED_LIMIT

CHARACTERS_PER_TOKEN = 16
"""Characters of an answer for each token that it may have: three times as many as usual."""
_LEAST = 1024
Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How answers are drawn. At temperature 0, the most probable token is taken."""

    temperature: float
    top_p: float
    max_tokens: int

    @property
    def longest(self) -> int:
        """The most characters of an answer, which a server need not respect."""
        return min(RECORDED_LIMIT, max(_LEAST, CHARACTERS_PER_TOKEN * self.max_tokens))


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated answer. `finish` is `length` if it was cut off. `tokens` may be unknown."""

    text: str
    finish: Finish
    tokens: int | None
