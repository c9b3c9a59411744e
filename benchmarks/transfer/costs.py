"""Processor seconds of stages, kept in a file, so that a continued stage adds to its own."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def processor_seconds() -> float:
    """The processor time of this process and of its ended children."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def write_json(path: Path, document: Any) -> None:
    """Replace a JSON document by one rename."""
    fresh = path.with_name(path.name + ".part")
    fresh.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    fresh.replace(path)


@dataclass(frozen=True)
class CostBook:
    """A file of seconds. What a SIGKILL interrupts is not counted, so it is a lower bound then."""

    path: Path

    @contextmanager
    def charged(self, name: str) -> Iterator[None]:
        """Add the block to a stage, unless the stage is done; done if the block does not raise."""
        if self.is_done(name):
            yield
            return
        started, finished = processor_seconds(), False
        try:
            yield
            finished = True
        finally:
            seconds = self.seconds(name) + processor_seconds() - started
            write_json(
                self.path, {**self._read(), name: {"seconds": round(seconds, 2), "done": finished}}
            )

    def is_done(self, name: str) -> bool:
        """Whether a stage has ended."""
        return bool(self._read().get(name, {}).get("done"))

    def seconds(self, name: str) -> float:
        """The seconds of a stage; 0 if it has not begun."""
        return float(self._read().get(name, {}).get("seconds", 0.0))

    def _read(self) -> dict[str, Any]:
        if not self.path.exists():
            return {}
        document: dict[str, Any] = json.loads(self.path.read_text(encoding="utf-8"))
        return document
