"""Who works with a store: readers and writers side by side, `gc` alone.

One file is locked with flock: shared by whoever uses blobs, exclusively by whoever removes them.
The kernel lets go for a process that died, so no lock is ever stale.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import SkillpmError, StateError
from skillpm.files.access import HomeFolder
from skillpm.files.locking import open_lock_file

_LOCK = "lock"
_POLL = 0.05
_GRACE = 1.0
"""Seconds more for a lock that nobody holds by name: a process that dies is gone by then."""
_LOCKS = Path("/proc/locks")


def silent(_text: str) -> None:
    """Say nothing."""


class StoreLock:
    """One process's hold on a store's lock, from its first use of a blob to its end."""

    def __init__(self, folder: Path, say: Callable[[str], None] = silent, wait: float = 0) -> None:
        self._folder = folder
        self._say = say
        self._wait = wait
        self._fd = -1
        self._guard = threading.Lock()

    def share(self, *, create: bool = False) -> None:
        """Hold the lock with others from here on; waits for `gc`, saying so once.

        Readers write nothing: where there is no lock file yet, or the file system cannot lock,
        they go on without it (and there `gc` refuses to remove anything).
        """
        with self._guard:
            if self._fd < 0 and self._open(create=create):
                with suppress(OSError):
                    self._take(fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock alone while the block runs; then with others again.

        Raises `StateError` that names who holds it, once the waiting time has run out.
        """
        with self._guard:
            try:
                self._open(create=True)
                self._take(fcntl.LOCK_EX)
            except OSError as problem:
                raise StateError(
                    f"`{self._folder / _LOCK}` cannot be locked: {problem.strerror}",
                    hint="a store from which blobs are removed lies on a disk that can lock files",
                ) from problem
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def _open(self, *, create: bool) -> bool:
        """Whether the lock's file is open; raises what is in the way only of one to be made."""
        if self._fd < 0:
            try:
                opened = HomeFolder.make(self._folder) if create else HomeFolder.open(self._folder)
                with opened:
                    self._fd = _made(opened) if create else _shared(opened)
            except (SkillpmError, OSError):
                if create:
                    raise
        return self._fd >= 0

    def _take(self, kind: int) -> None:
        deadline, told = time.monotonic() + self._wait, False
        while True:
            try:
                fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
            except BlockingIOError as problem:
                who = self._who()
                if time.monotonic() >= deadline + (0 if who else _GRACE):
                    self.close()  # what was held before is lost, whether that was asked for or not
                    raise StateError(
                        f"the store is in use by {who or 'another skillpm command'}",
                        hint="wait for it to end, or end it, then run the command again",
                    ) from problem
            else:
                return
            if who and not told:
                self._say(f"waiting for {who}, which uses the store")
                told = True
            time.sleep(_POLL)

    def _who(self) -> str:
        """Who holds the lock; empty where the system does not tell."""
        found = [_command(pid) for pid in _holders(os.fstat(self._fd)) if pid != os.getpid()]
        return " and ".join(found)

    def close(self) -> None:
        """Let go; a further use takes the lock again."""
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def _made(folder: HomeFolder) -> int:
    return open_lock_file(folder, _LOCK, mode=folder.access().file)


def _shared(folder: HomeFolder) -> int:
    """The lock's file, where it is there already: who only reads may not be able to write it."""
    with folder.reading(_LOCK) as fd:
        return os.dup(fd)


def _holders(status: os.stat_result) -> list[int]:
    """The processes that hold a lock on this file, where the system tells."""
    device = f"{os.major(status.st_dev):02x}:{os.minor(status.st_dev):02x}:{status.st_ino}"
    try:
        lines = [line.split() for line in _LOCKS.read_text().splitlines()]
    except OSError:
        return []
    return sorted({int(line[4]) for line in lines if line[1] == "FLOCK" and line[5] == device})


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = []
    names = [Path(word).name for word in words[:4]]
    start = names.index("skillpm") + 1 if "skillpm" in names else 0
    said = " ".join(word for word in words[start : start + 3] if word)
    return f"`skillpm {said}` (process {pid})" if start and said else f"process {pid}"
