"""One progress bar over the stages of a command, with a time left from measured speeds."""

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from skillpm.parallel import PlannedStage

_TRUSTED = 0.2
"""From this share of a stage on, its own speed decides its time left, not the planned seconds."""


class StagedProgress:
    """How much of planned stages is done, and the seconds left. Never goes backwards.

    Stages start in the planned order. One that starts early skips those before it; one that is not
    planned, or starts again after the last planned time, adds nothing. `clock` returns seconds.
    """

    def __init__(self, stages: "Sequence[PlannedStage]", clock: Callable[[], float]) -> None:
        self._stages = list(stages)
        self._clock = clock
        self._lock = threading.Lock()
        self._place = -1
        self._is_planned = False
        self._total = self._done = 0
        self._began = clock()
        self._spent = self._expected = self._shown = 0.0
        self.label = ""

    def plan(self, stages: "Sequence[PlannedStage]") -> None:
        """Replace the stages that have not started, when their size is known better."""
        with self._lock:
            self._stages[self._place + 1 :] = stages

    def start(self, label: str, total: int) -> Callable[[int], None]:
        """Start a stage, or extend the current one. Call the result with the amount done."""
        with self._lock:
            following = self._find(label)
            if following is None and label == self.label:
                self._total += total
                return self._advance
            self._finish()
            self.label, self._total, self._done = label, total, 0
            self._is_planned = following is not None
            if following is not None:
                self._place = following
        return self._advance

    def _find(self, label: str) -> int | None:
        """The place of the next planned stage with this label."""
        following = range(self._place + 1, len(self._stages))
        return next((at for at in following if self._stages[at].label == label), None)

    def _advance(self, amount: int) -> None:
        with self._lock:
            self._done += amount

    def _finish(self) -> None:
        """Compare the seconds of the stage that ends with the planned ones."""
        now = self._clock()
        if self._is_planned:
            self._spent += now - self._began
            self._expected += self._stages[self._place].seconds
        self._began = now

    def _part(self) -> float:
        return min(1.0, self._done / self._total) if self._total else 0.0

    @property
    def share(self) -> float:
        """The share of the planned seconds that is done, from 0 to 1."""
        with self._lock:
            current = self._stages[self._place].seconds if self._place >= 0 else 0.0
            before = sum(stage.seconds for stage in self._stages[: max(0, self._place)])
            whole = sum(stage.seconds for stage in self._stages)
            part = self._part() if self._is_planned else 1.0
            done = (before + current * part) / whole if whole else 0.0
            self._shown = max(self._shown, min(1.0, done))
            return self._shown

    @property
    def seconds_left(self) -> float | None:
        """The seconds of this stage and of all that follow; None before anything is measured."""
        with self._lock:
            now, part = self._clock() - self._began, self._part()
            current = self._stages[self._place].seconds if self._is_planned else 0.0
            later = sum(stage.seconds for stage in self._stages[self._place + 1 :])
            spent, expected = self._spent + now, self._expected + part * current
            if not expected:
                return None
            slowness = spent / expected
            trust = min(1.0, part / _TRUSTED)
            measured = now / part if part else 0.0
            whole = trust * measured + (1 - trust) * slowness * current
            return (1 - part) * whole + slowness * later
