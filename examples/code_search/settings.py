"""The settings of the training, besides its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Advance = Callable[[str, int, int], None]
"""Called as `advance(stage, done, total)` during long work."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The defaults are those of the benchmarks: 78 steps, some three minutes on two cores.

    `passes` over the functions; a fraction is the first part of a pass. `batch` functions, in
    groups of `group` from one module, compete in each step.
    """

    seed: int = 0
    passes: float = 1
    batch: int = 64
    group: int = 16
    learning_rate: float = 2e-4
    warmup: float = 0.1
    temperature: float = 0.05
    docstring_tokens: int = 32
    body_tokens: int = 64


DEMO = Settings(passes=0.5)
"""Half the steps of the benchmarks, for five sixths of their gain in MRR."""


def ignore(stage: str, done: int, total: int) -> None:
    """Show nothing."""
