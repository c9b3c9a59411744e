"""Who holds a lock or made a file: told apart from a later process of the same number (ADR 11)."""

import os
import socket
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from skillpm.errors import NotFoundError, SpecError
from skillpm.files.folder import Folder
from skillpm.spec import json

_START_FIELD = 19
_HOUR = 3600
_MINUTE = 60
_RECORD_LIMIT = 10_000
"""Bytes of a record, which names one process."""
_TEXT_LIMIT = 300
_NUMBER_LIMIT = 1 << 40
"""No process number and no time in seconds is larger."""


class ProcessState(Enum):
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

    def state(self) -> ProcessState:
        """Whether the process runs; `ELSEWHERE` where its number cannot be looked up from here."""
        host, boot, space = _here()
        if self.host and self.host != host:
            return ProcessState.ELSEWHERE
        if self.boot and boot and self.boot != boot:
            return ProcessState.DEAD
        if self.space != space:
            return ProcessState.ELSEWHERE
        if not is_alive(self.pid):
            return ProcessState.DEAD
        now = _start(self.pid)
        return ProcessState.DEAD if self.start and now and self.start != now else ProcessState.ALIVE

    def describe(self, now: float) -> str:
        """As messages name it, with its age."""
        where = f" on `{self.host}`" if self.state() is ProcessState.ELSEWHERE else ""
        return f"`skillpm {self.command}` (process {self.pid}{where}, for {age(now - self.since)})"

    def dumps(self) -> bytes:
        """As a file holds it."""
        return json.canonical(asdict(self))


def this_process(command: str, now: float) -> Owner:
    """The process that asks."""
    shown = "".join(c if c.isprintable() else " " for c in command)[:_TEXT_LIMIT]
    return Owner(os.getpid(), shown, now, *_here(), start=_start(os.getpid()))


def read_owner(folder: Folder, name: str) -> Owner | None:
    """The owner that a record names; None where there is no record, or it names no process.

    Raises `StateError` where the record is a link, a pipe or anything but a small file.
    """
    try:
        return parse_owner(folder.read(name, limit=_RECORD_LIMIT))
    except NotFoundError:
        return None


def parse_owner(data: bytes) -> Owner | None:
    """The owner that a record names; None where it is damaged."""
    try:
        owner = Owner(**json.parse_object(data, "the record"))
    except (SpecError, TypeError):
        return None
    texts = (owner.command, owner.host, owner.boot, owner.space, owner.start)
    numbers = (owner.pid, owner.since)
    sound = (
        type(owner.pid) is int
        and all(type(number) in {int, float} for number in numbers)
        and all(0 <= number < _NUMBER_LIMIT for number in numbers)
        and all(isinstance(t, str) and t.isprintable() and len(t) <= _TEXT_LIMIT for t in texts)
    )
    return owner if sound and owner.pid > 0 else None


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
