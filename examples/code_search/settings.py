"""The settings of the training, besides its data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Advance = Callable[[str, int, int], None]
"""Called as `advance(stage, done, total)` during long work."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One pass over the pairs, sized to take about two minutes on two cores.

    `batch` functions, in groups of `group` from one module, compete in each step.
    """

    seed: int = 0
    passes: int = 1
    batch: int = 64
    group: int = 16
    learning_rate: float = 2e-4
    warmup: float = 0.1
    temperature: float = 0.05
    docstring_tokens: int = 32
    body_tokens: int = 64


def ignore(stage: str, done: int, total: int) -> None:
    """Show nothing."""
