"""How answers are drawn, and what a source returns."""

from dataclasses import dataclass
from typing import Literal

Finish = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class SamplingSettings:
    """How answers are drawn. At temperature 0, the most probable token is taken."""

    temperature: float
    top_p: float
    max_tokens: int


@dataclass(frozen=True, slots=True)
class Generated:
    """A generated answer. `finish` is `length` if it was cut off. `tokens` may be unknown."""

    text: str
    finish: Finish
    tokens: int | None
