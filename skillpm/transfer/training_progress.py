"""Counts and measures the steps of a training, and decides when a checkpoint is written."""

import time
from typing import Any

from transformers import TrainerCallback

from skillpm.parallel import Advance

SAVE_SHARE = 0.05
"""The share of the time of a training that checkpoints may take."""
_BYTES_PER_PARAMETER, _BYTES_PER_SECOND = 12, 200e6
"""Of a checkpoint in float32 with Adam's two moments, on a slow disk: what the first one costs."""


class TrainingProgress(TrainerCallback):
    """Counts steps, measures them, and saves checkpoints in `SAVE_SHARE` of the time.

    Which steps are saved does not change the result, because resumption is exact.
    """

    def __init__(self, advance: Advance, *, saves: bool, parameters: int) -> None:
        self._advance = advance
        self._saves = saves
        self._cost = _BYTES_PER_PARAMETER * parameters / _BYTES_PER_SECOND
        self._saved = time.monotonic()
        self.ends: list[float] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:  # noqa: ARG002 - as transformers calls it
        """Count a step; save if the last checkpoint is old enough, never after the last step."""
        self._advance(1)
        self.ends.append(time.monotonic())
        old_enough = self.ends[-1] - self._saved >= self._cost / SAVE_SHARE
        is_last = state.global_step >= state.max_steps
        control.should_save = self._saves and old_enough and not is_last
        return control

    def on_save(self, *_arguments: Any, **_settings: Any) -> None:
        """Measure what a checkpoint costs."""
        self._saved = time.monotonic()
        self._cost = self._saved - self.ends[-1]

    @property
    def step_seconds(self) -> float:
        """The seconds of a step; the first one is left out if there are more."""
        steps = len(self.ends) - 1
        return (self.ends[-1] - self.ends[0]) / steps if steps else 0.0
