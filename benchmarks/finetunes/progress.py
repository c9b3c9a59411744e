"""Progress of a training on stderr."""

from __future__ import annotations

import sys
import time

SECONDS_BETWEEN_LINES = 15.0


class Progress:
    """Lines on stderr with the name of the work; at most one line per interval."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._last = time.monotonic()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print the progress if the interval since the last line has passed."""
        now = time.monotonic()
        if now - self._last >= SECONDS_BETWEEN_LINES or done == total:
            self._last = now
            clock = time.strftime("%H:%M:%S")
            print(f"{clock} {self._label}: {stage}, {done} of {total}", file=sys.stderr, flush=True)
