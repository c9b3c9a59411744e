"""How an answer is generated."""

from dataclasses import dataclass
from math import inf

from skillpm.errors import UsageError

MAX_TOKENS = 256
_SEEDS = 1 << 63


@dataclass(frozen=True)
class AnswerSettings:
    """The most tokens of an answer, and how its tokens are drawn.

    A temperature of 0 takes the most likely token each time. Without `seed`, every answer at a
    higher temperature is another one. Raises `UsageError` for a value out of range, and for a seed
    at temperature 0, which would have no effect.
    """

    max_tokens: int = MAX_TOKENS
    temperature: float = 0.0
    seed: int | None = None

    def __post_init__(self) -> None:
        if self.max_tokens < 1:
            raise UsageError(f"`max_tokens` is {self.max_tokens}; expected at least 1")
        if not 0 <= self.temperature < inf:
            raise UsageError(f"`temperature` is {self.temperature}; expected a number from 0 up")
        if self.seed is not None and not 0 <= self.seed < _SEEDS:
            raise UsageError(f"`seed` is {self.seed}; expected a number from 0 to 2^63 - 1")
        if self.seed is not None and not self.temperature:
            raise UsageError(
                f"`seed` is {self.seed}, but the temperature is 0, so no token is drawn at random",
                hint="set a temperature too, such as `--temperature 0.8`, or omit the seed",
            )
