"""The settings of the fine-tunes; each result stores them and is reused only if they are equal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.finetunes.settings import Training

Task = Literal["headers", "code", "sql", "prose"]
CONTEXT = 256
CALIBRATED = 64
"""Documents of the calibration file."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """A full fine-tune: its task, and its training in float32.

    No weight decay, the default of the Hugging Face trainers. A step of 2 rows takes 9 processor
    seconds; memory is 3 GB.
    """

    name: str
    task: Task
    training: Training


def _light(steps: int, learning_rate: float) -> Training:
    return Training(
        steps=steps, learning_rate=learning_rate, weight_decay=0.0, rows=2, warmup=0.1, floor=0.1
    )


DEVELOPMENT = Tuning("dev", "headers", _light(30, 2e-5))
"""Constants of codecs are settled on this one; no table reports it."""
REPORTED = (
    Tuning("code", "code", _light(30, 1e-5)),
    Tuning("sql", "sql", _light(30, 5e-5)),
    Tuning("prose", "prose", _light(30, 1e-5)),
)
TUNINGS = {tuning.name: tuning for tuning in (DEVELOPMENT, *REPORTED)}


@dataclass(frozen=True, slots=True)
class LoraTuning:
    """A LoRA of all linear layers: `rank`, with alpha twice the rank, and its training."""

    name: str
    task: Task
    rank: int
    training: Training


LORA = LoraTuning("lora16", "headers", 16, _light(12, 2e-4))
