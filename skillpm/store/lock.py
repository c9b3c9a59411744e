"""The lock of a store: commands that use blobs share it, `gc` holds it exclusively.

The lock is an `flock` on one file. The kernel releases it when a process ends, so a lock is never
stale.
"""

import fcntl
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from skillpm.errors import SkillpmError, StateError
from skillpm.files.access import HomeFolder
from skillpm.files.locking import open_lock_file, wait_for_lock

_LOCK = "lock"
_LOCKS = Path("/proc/locks")


def silent(_text: str) -> None:
    """Discard a message."""


class StoreLock:
    """This process's lock on a store, held from the first use of a blob until `close`.

    `wait` is how long to wait for another process, in seconds; `say` receives messages about that.
    """

    def __init__(self, folder: Path, say: Callable[[str], None] = silent, wait: float = 0) -> None:
        self._folder = folder
        self._say = say
        self._wait = wait
        self._fd = -1
        self._guard = threading.Lock()

    def share(self, *, create: bool = False) -> None:
        """Take the lock in shared mode; waits while `gc` runs.

        A process that only reads creates no lock file (`create` is false). If there is no lock
        file, or the file system does not support locks, this has no effect. (`gc` removes no blobs
        on a file system without locks.) Raises `StateError` after the waiting time.
        """
        with self._guard:
            if self._fd < 0 and self._open(create=create):
                with suppress(OSError):
                    self._take(fcntl.LOCK_SH)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the lock exclusively while the block runs, and in shared mode afterwards.

        Raises `StateError` that names the holders, after the waiting time.
        """
        with self._guard:
            try:
                self._open(create=True)
                self._take(fcntl.LOCK_EX)
            except OSError as problem:
                raise StateError(
                    f"`{self._folder / _LOCK}` cannot be locked: {problem.strerror}",
                    hint="set SKILLPM_HOME to a folder on a file system that supports file locks",
                ) from problem
        try:
            yield
        finally:
            fcntl.flock(self._fd, fcntl.LOCK_SH)

    def _open(self, *, create: bool) -> bool:
        """Open the lock file, if it is not open. Returns whether it is open now.

        Errors are raised only with `create`.
        """
        if self._fd < 0:
            try:
                opened = HomeFolder.make(self._folder) if create else HomeFolder.open(self._folder)
                with opened:
                    self._fd = _open_or_create(opened) if create else _open_existing(opened)
            except (SkillpmError, OSError):
                if create:
                    raise
        return self._fd >= 0

    def _take(self, kind: int) -> None:
        def busy(holders: str, _waited: float) -> SkillpmError:
            self.close()  # A failed change of mode may have released the shared lock.
            return StateError(
                f"the store is in use by {holders}",
                hint="wait until that command ends, or end it, then run this command again",
            )

        wait_for_lock(
            lambda: _try_lock(self._fd, kind),
            self._holders,
            timeout=self._wait,
            say=lambda holders: self._say(f"waiting for {holders}, which uses the store"),
            busy=busy,
        )

    def _holders(self) -> str | None:
        """The commands that hold the lock; None if the system does not list them."""
        pids = _lock_holders(os.fstat(self._fd))
        return " and ".join(_command(pid) for pid in pids if pid != os.getpid()) or None

    def close(self) -> None:
        """Release the lock. A later call of `share` or `alone` takes it again."""
        if getattr(self, "_fd", -1) >= 0:
            os.close(self._fd)
            self._fd = -1

    def __del__(self) -> None:
        self.close()


def _try_lock(fd: int, kind: int) -> bool:
    """Take a lock without waiting. `filelock` has only exclusive locks for a file descriptor."""
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_or_create(folder: HomeFolder) -> int:
    return open_lock_file(folder, _LOCK, mode=folder.access().file)


def _open_existing(folder: HomeFolder) -> int:
    """Open an existing lock file for reading: a reader may lack the permission to write it."""
    with folder.reading(_LOCK) as fd:
        return os.dup(fd)


def _lock_holders(status: os.stat_result) -> list[int]:
    """The IDs of the processes that hold a lock on this file, by /proc/locks."""
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
    command = " ".join(word for word in words[start : start + 3] if word)
    return f"`skillpm {command}` (process {pid})" if start and command else f"process {pid}"
