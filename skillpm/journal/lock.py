"""One writing command at a time: a lock that dies with its process and says who holds it."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import filelock

from skillpm.errors import StateError

_FIRST_TRY = 0.05


@contextmanager
def held(
    folder: Path, command: str, *, timeout: float, say: Callable[[str], None]
) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs.

    Waits up to `timeout` seconds, saying once for whom; then raises `StateError` that names the
    holder. The lock of a process that died is free.
    """
    lock = filelock.FileLock(folder / "lock", thread_local=False)
    holder = folder / "holder.json"
    try:
        _acquire(lock, holder, timeout, say)
        holder.write_text(json.dumps({"pid": os.getpid(), "command": command}))
    except OSError as problem:
        lock.release()
        raise StateError(f"`{folder}` cannot be written: {problem.strerror}") from problem
    try:
        yield
    finally:
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _acquire(
    lock: filelock.BaseFileLock, holder: Path, timeout: float, say: Callable[[str], None]
) -> None:
    try:
        lock.acquire(timeout=min(_FIRST_TRY, timeout))
    except filelock.Timeout:
        say(f"waiting for {_who(holder)}")
    else:
        return
    try:
        lock.acquire(timeout=timeout)
    except filelock.Timeout as problem:
        raise StateError(
            f"the project is in use by {_who(holder)}",
            hint="wait for it to end, or end it, then run the command again",
        ) from problem


def _who(holder: Path) -> str:
    try:
        plain = json.loads(holder.read_text())
        return f"`skillpm {plain['command']}` (process {plain['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another skillpm command"
