"""What a test could change for the tests after it in the same process."""

import os
import resource
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click import formatting

_VARIABLES = ("COLUMNS", "LINES", "TERM", "NO_COLOR", "FORCE_COLOR", "HOME", "PATH", "TMPDIR", "TZ")
_SHARED = frozenset({"SKILLPM_HOME", "SKILLPM_CONFIG"})
"""Variables that fixtures of a session set for all of their tests."""
_LIMITS = tuple(
    getattr(resource, name)
    for name in ("RLIMIT_AS", "RLIMIT_DATA", "RLIMIT_FSIZE", "RLIMIT_NOFILE", "RLIMIT_NPROC")
)


@dataclass(frozen=True)
class ProcessState:
    """The working folder, variables that change output, limits, handlers of signals."""

    folder: str
    variables: dict[str, str]
    limits: dict[int, tuple[int, int]]
    handlers: dict[int, Any]
    width: int | None
    recursion: int

    @classmethod
    def now(cls) -> "ProcessState":
        return cls(
            _folder(),
            dict(_variables()),
            {limit: resource.getrlimit(limit) for limit in _LIMITS},
            {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
            formatting.FORCED_WIDTH,
            sys.getrecursionlimit(),
        )

    def changes(self) -> list[str]:
        """How the process differs from this state."""
        now = ProcessState.now()
        return [
            f"{name} was {old!r}, is {getattr(now, name)!r}"
            for name, old in vars(self).items()
            if getattr(now, name) != old
        ]

    def restore(self) -> None:
        """Restore what can be restored."""
        with suppress(OSError):
            os.chdir(self.folder)
        for name in set(dict(_variables())) - set(self.variables):
            del os.environ[name]
        os.environ.update(self.variables)
        formatting.FORCED_WIDTH = self.width
        sys.setrecursionlimit(self.recursion)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)


def _folder() -> str:
    try:
        return str(Path.cwd())
    except FileNotFoundError:
        return "a deleted folder"


def _variables() -> Iterator[tuple[str, str]]:
    for name, value in os.environ.items():
        if name in _VARIABLES or (name.startswith("SKILLPM_") and name not in _SHARED):
            yield name, value
