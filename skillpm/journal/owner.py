"""Who holds a lock or made a file: told apart from a later process of the same number (ADR 11)."""

import json
import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

_START_FIELD = 19
_HOUR = 3600
_MINUTE = 60


class Life(Enum):
    """What can be told of a process."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Owner:
    """A process, its command, and since when (seconds since 1970).

    `host`, `boot` and `space` (the process-number namespace: a container has its own) say where the
    number `pid` counts; `start` is the process's own start, in the kernel's ticks.
    """

    pid: int
    command: str
    since: float
    host: str = ""
    boot: str = ""
    space: str = ""
    start: str = ""

    def life(self) -> Life:
        """Whether the process runs; `ELSEWHERE` where its number cannot be looked up from here."""
        host, boot, space = _here()
        if self.host and self.host != host:
            return Life.ELSEWHERE
        if self.boot and boot and self.boot != boot:
            return Life.DEAD
        if self.space != space:
            return Life.ELSEWHERE
        if not is_alive(self.pid):
            return Life.DEAD
        now = _start(self.pid)
        return Life.DEAD if self.start and now and self.start != now else Life.ALIVE

    def told(self, now: float) -> str:
        """As messages name it, with its age."""
        where = f" on `{self.host}`" if self.life() is Life.ELSEWHERE else ""
        return f"`skillpm {self.command}` (process {self.pid}{where}, for {age(now - self.since)})"

    def dumps(self) -> str:
        """As a file holds it."""
        return json.dumps(asdict(self))


def this_process(command: str, now: float) -> Owner:
    """The process that asks."""
    return Owner(os.getpid(), command, now, *_here(), start=_start(os.getpid()))


def read_owner(path: Path) -> Owner | None:
    """The owner that a file names; None where there is none, or it cannot be read."""
    try:
        plain: dict[str, Any] = json.loads(path.read_bytes())
        owner = Owner(**plain)
        kinds = (isinstance(owner.pid, int), isinstance(owner.since, int | float))
    except (OSError, ValueError, TypeError):
        return None
    return owner if all(kinds) else None


def age(seconds: float) -> str:
    """A duration as people say it."""
    whole = max(0, int(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    return f"{whole // _MINUTE} min" if whole < 2 * _HOUR else f"{whole // _HOUR} h"


def is_alive(pid: int) -> bool:
    """Whether a process of this number runs here."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _start(pid: int) -> str:
    """When a process began; empty where the system does not say."""
    with suppress(OSError, IndexError):
        # The command's name stands in brackets and may itself hold spaces and brackets.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_START_FIELD]
    return ""


@cache
def _here() -> tuple[str, str, str]:
    boot = space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return socket.gethostname(), boot, space
