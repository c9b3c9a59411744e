"""All settings of the fine-tunes; each result stores them and is reused only if they are equal."""

from __future__ import annotations

from dataclasses import dataclass, field

SEEDS = (0, 1, 2)


@dataclass(frozen=True, slots=True)
class Shape:
    """A Llama of 4.9M parameters.

    It has grouped-query attention, as current models do. The head is tied to the embedding, as in
    small current models: a separate head would be a tenth of the weights.
    """

    vocabulary: int = 2048
    hidden: int = 256
    intermediate: int = 688
    layers: int = 6
    heads: int = 4
    key_value_heads: int = 2
    context: int = 256


@dataclass(frozen=True, slots=True)
class Training:
    """AdamW on float32 master weights: `steps` batches of `rows` rows of `Shape.context` tokens."""

    steps: int
    learning_rate: float
    weight_decay: float
    rows: int = 32
    warmup: float = 0.05
    floor: float = 0.05
    beta: float = 0.95
    seed: int = 0

    def factor(self, step: int) -> float:
        """The factor of the learning rate in this step."""
        return slope(step, steps=self.steps, warmup=self.warmup, floor=self.floor)


@dataclass(frozen=True, slots=True)
class Recipe:
    """The causal LM and its pre-training: about a quarter of an hour on two cores."""

    shape: Shape = field(default_factory=Shape)
    training: Training = field(
        default_factory=lambda: Training(steps=800, learning_rate=3e-3, weight_decay=0.1)
    )


def tuning(seed: int) -> Training:
    """A full fine-tune of the causal LM: about a minute on two cores.

    No weight decay, the default of the Hugging Face trainers, so that weights unrelated to the text
    stay unchanged.
    """
    return Training(steps=120, learning_rate=1e-3, weight_decay=0.0, rows=16, warmup=0.1, seed=seed)


@dataclass(frozen=True, slots=True)
class Contrast:
    """The encoder's second task: `classes` packages with `each` functions compete in each step."""

    steps: int = 60
    learning_rate: float = 1e-4
    warmup: float = 0.1
    classes: int = 16
    each: int = 4
    temperature: float = 0.1
    tokens: int = 64
    seed: int = 0

    def factor(self, step: int) -> float:
        """The factor of the learning rate in this step."""
        return slope(step, steps=self.steps, warmup=self.warmup, floor=0.0)


def slope(step: int, *, steps: int, warmup: float, floor: float) -> float:
    """Linear rise over the warm-up's share of the steps, then linear fall to the floor."""
    rising = max(1, round(steps * warmup))
    left = (steps - step) / max(1, steps - rising)
    return min((step + 1) / rising, max(floor, left))
