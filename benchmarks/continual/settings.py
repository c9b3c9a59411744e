"""All settings of the trainings; each result stores them and is reused only if they are equal."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

from benchmarks.finetunes.settings import Recipe, slope

SEEDS = (0, 1, 2)
HELD_OUT_ROWS = 32
EXAMPLES = 64
"""Texts of an encoder's task that are held back from training, for its router signature."""
EXAMPLE_ROWS = 128
"""Training rows of the causal LM whose beginnings are a router signature's examples."""
BACKGROUND_TEXTS = 512
SEEN = 64
"""Tokens of a row that the router may read; the whole row is scored, as in all other methods."""


def recipe() -> Recipe:
    """The base LM: the recipe of the fine-tunes, with a fifth of the steps."""
    whole = Recipe()
    return replace(whole, training=replace(whole.training, steps=300, rows=16))


@dataclass(frozen=True, slots=True)
class Ewc:
    """Elastic weight consolidation (Kirkpatrick et al. 2017, equation 3), diagonal Fisher.

    The quadratic penalties of all earlier tasks are summed, each around its own task's weights.
    """

    strength: float
    examples: int = 32


@dataclass(frozen=True, slots=True)
class Lora:
    """One adapter on all linear weights, trained through all tasks."""

    rank: int = 16
    alpha: int = 32
    learning_rate: float = 5e-3


@dataclass(frozen=True, slots=True)
class Stage:
    """One task's training: AdamW without decay, linear warm-up, then linear to zero."""

    steps: int
    learning_rate: float
    warmup: float = 0.1
    replay: float = 0.1
    beta: float = 0.95
    lora: Lora = field(default_factory=Lora)
    ewc: Ewc = field(default_factory=lambda: Ewc(strength=100.0))

    def factor(self, step: int) -> float:
        """The factor of the learning rate in this step."""
        return slope(step, steps=self.steps, warmup=self.warmup, floor=0.0)

    def own(self, method: str) -> dict[str, Any]:
        """The settings of this method alone."""
        own: dict[str, Any] = {
            "ewc": {"ewc": asdict(self.ewc)},
            "lora": {"lora": asdict(self.lora)},
            "replay": {"replay": self.replay},
        }
        return dict(own.get(method, {}))


@dataclass(frozen=True, slots=True)
class Language:
    """A stage of the causal LM: `rows` rows of `context` tokens per step."""

    stage: Stage = field(default_factory=lambda: Stage(steps=40, learning_rate=1e-3))
    rows: int = 8
    context: int = 128
    held_out: int = HELD_OUT_ROWS


@dataclass(frozen=True, slots=True)
class Sentences:
    """A stage of the encoder: `pairs` pairs, or `classes` classes of `each` texts, per step."""

    stage: Stage = field(
        default_factory=lambda: Stage(
            steps=15, learning_rate=2e-4, lora=Lora(learning_rate=1e-3), ewc=Ewc(strength=1000.0)
        )
    )
    pairs: int = 24
    group: int = 8
    pair_temperature: float = 0.05
    query_tokens: int = 24
    answer_tokens: int = 32
    classes: int = 12
    each: int = 3
    class_temperature: float = 0.1
    held_out: int = 128
    held_out_each: int = 8
    supports_each: int = 6


def plain(settings: Language | Sentences) -> dict[str, Any]:
    """The settings that all methods share; a method's own settings are in its own records."""
    document = asdict(settings)
    for method in ("ewc", "lora", "replay"):
        del document["stage"][method]
    return document
