"""The settings of table 1. Each cell is kept by the settings that decide it."""

from __future__ import annotations

from dataclasses import dataclass

SMALL_BUDGET = "5%"
"""The size of the small pack, of the dense delta."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Prompts and questions. `items` and `general` measure; the other ones are for training.

    A tenth of `prompts` and a quarter of `keep` choose between SFT and DPO. `tokens` limits the
    answers to general questions.
    """

    prompts: int = 360
    keep: int = 96
    items: int = 200
    general: int = 100
    tokens: int = 32
    batch: int = 32


@dataclass(frozen=True, slots=True)
class Recipe:
    """The training of the target, by `skillpm transfer` and by LoRA.

    The same for all skills. Rows, rate and batch are close to those that the example
    `examples/transfer` has for text-to-SQL. An earlier run of `numbers` with 40 rows showed that so
    few do not suffice.
    """

    draws: int = 4
    temperature: float = 1.0
    answer_tokens: int = 48
    sft_share: float = 0.33
    keep_share: float = 0.333
    batch: int = 4
    sft_epochs: int = 1
    sft_rate: float = 1.5e-4
    dpo_epochs: int = 1
    dpo_rate: float = 1e-5
    beta: float = 10.0
    lora_factor: float = 5.0
    """LoRA's learning rates, in those of full training."""
    chosen_on: tuple[int, int] = (24, 16)
    """The most held-out prompts and general questions that choose between SFT and DPO."""
