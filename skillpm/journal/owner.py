"""The identity of a process that holds a lock or wrote a file, robust to reused ids (ADR 11)."""

import os
from contextlib import suppress
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from skillpm.errors import NotFoundError, SpecError
from skillpm.files.folder import Folder
from skillpm.spec import json

HOLDER = "holder.json"
"""The record of a process that holds the lock of a folder."""
_START_FIELD = 19
_HOUR = 3600
_MINUTE = 60
_RECORD_LIMIT = 10_000
"""Bytes of a record."""
_TEXT_LIMIT = 300
"""Characters of a text in a record."""
_NUMBER_LIMIT = 1 << 40
"""Larger than any process id and any time in seconds."""


class ProcessState(Enum):
    """The state of a process; `ELSEWHERE` if it cannot be checked from this process."""

    ALIVE = "alive"
    DEAD = "dead"
    ELSEWHERE = "elsewhere"


@dataclass(frozen=True)
class Owner:
    """A process with its command and start of ownership (`since`, in seconds since 1970).

    `host`, `boot` (the boot id) and `space` (the PID namespace, which differs in a container)
    identify the system in which `pid` is valid. `start` is the process's start in kernel ticks.
    """

    pid: int
    command: str
    since: float
    host: str = ""
    boot: str = ""
    space: str = ""
    start: str = ""

    def state(self) -> ProcessState:
        """Whether the process is running."""
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
        """The process with its age, for messages."""
        where = f" on `{self.host}`" if self.state() is ProcessState.ELSEWHERE else ""
        return f"`skillpm {self.command}` (process {self.pid}{where}, for {age(now - self.since)})"

    def dumps(self) -> bytes:
        """The record for a file, in canonical JSON."""
        return json.canonical(asdict(self))


def this_process(command: str, now: float) -> Owner:
    """The current process as an owner since `now`, running `command`."""
    shown = "".join(c if c.isprintable() else " " for c in command)[:_TEXT_LIMIT]
    return Owner(os.getpid(), shown, now, *_here(), start=_start(os.getpid()))


def read_owner(folder: Folder, name: str) -> Owner | None:
    """Read the owner from a record. None if the record is missing or damaged.

    Raises `StateError` if the record is not a small regular file.
    """
    try:
        return parse_owner(folder.read(name, limit=_RECORD_LIMIT))
    except NotFoundError:
        return None


def parse_owner(data: bytes) -> Owner | None:
    """Read the owner from the bytes of a record. None if they are damaged."""
    try:
        owner = Owner(**json.parse_object(data, "the record"))
    except (SpecError, TypeError):
        return None
    texts = (owner.command, owner.host, owner.boot, owner.space, owner.start)
    numbers = (owner.pid, owner.since)
    valid = (
        type(owner.pid) is int
        and all(type(number) in {int, float} for number in numbers)
        and all(0 <= number < _NUMBER_LIMIT for number in numbers)
        and all(isinstance(t, str) and t.isprintable() and len(t) <= _TEXT_LIMIT for t in texts)
    )
    return owner if valid and owner.pid > 0 else None


def age(seconds: float) -> str:
    """A duration for messages: `5 s`, `3 min` or `4 h`."""
    whole = max(0, int(seconds))
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    return f"{whole // _MINUTE} min" if whole < 2 * _HOUR else f"{whole // _HOUR} h"


def is_alive(pid: int) -> bool:
    """Whether a process with this id runs on this system."""
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def _start(pid: int) -> str:
    """The start of a process in kernel ticks; empty if the system does not provide it."""
    with suppress(OSError, IndexError):
        # The command name is in parentheses, and may contain spaces and parentheses.
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[_START_FIELD]
    return ""


@cache
def _here() -> tuple[str, str, str]:
    boot = space = ""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    with suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return os.uname().nodename, boot, space
