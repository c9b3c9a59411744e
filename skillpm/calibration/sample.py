"""Which sequences of a calibration text give the Fisher factors, and which are held out."""

from collections.abc import Iterable

import torch

from skillpm.errors import GraftError
from skillpm.running.runner import BATCH, Batch, Runner

HELD_OUT = 4
"""Every fourth sequence is held out, to measure what a pack keeps."""
MOST_TOKENS = 1 << 12
"""The most tokens for the Fisher factors (ADR 43)."""
MOST_HELD_OUT = 1 << 11
"""The most tokens that are held out (ADR 43)."""


def split_texts(runner: Runner, texts: Iterable[str]) -> tuple[list[Batch], list[Batch]]:
    """The batches for the factors, and those that are held out. They have no sequence in common.

    Sequences are taken at regular intervals. Raises `GraftError` for a single one.
    """
    batches = runner.batches(texts)
    units = batches
    if runner.causal or len(batches) == 1:
        units = [row for batch in batches for row in batch.rows()]
    if len(units) <= 1:
        raise GraftError(
            "the calibration text is too short: it has one sequence, and at least two are needed, "
            "because one is held out to measure the pack",
            hint="pass several texts; some thousand tokens are enough",
        )
    rest = [unit for number, unit in enumerate(units) if number % HELD_OUT]
    chosen = (_within(rest, MOST_TOKENS), _within(units[::HELD_OUT], MOST_HELD_OUT))
    seen, held_out = (_joined(each) if units is not batches else each for each in chosen)
    return seen, held_out


def _within(units: list[Batch], tokens: int) -> list[Batch]:
    """Some batches at regular intervals, with about `tokens` tokens in all; at least one."""
    total = sum(unit.tokens for unit in units)
    count = max(1, min(len(units), round(len(units) * tokens / max(1, total))))
    return [units[place * len(units) // count] for place in range(count)]


def _joined(rows: list[Batch]) -> list[Batch]:
    """Batches of `BATCH` rows of one length."""
    groups = (rows[first : first + BATCH] for first in range(0, len(rows), BATCH))
    return [
        Batch(torch.cat([row.ids for row in group]), torch.cat([row.mask for row in group]))
        for group in groups
    ]
