"""One writing command at a time: a lock that dies with its process and says who holds it."""

import errno
import fcntl
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from skillpm.errors import SkillpmError, StateError
from skillpm.files.errors import write_error
from skillpm.files.folder import Folder
from skillpm.files.locking import open_lock_file
from skillpm.journal.owner import Owner, ProcessState, age, read_owner, this_process

LOCK = "lock"
HOLDER = "holder.json"
CLAIM = "lock.claim"
_PAUSE = 0.05
_GRACE = 1.0
"""Seconds for which a lock may be held by nobody who is named: a new holder signs at once."""
_BUSY = frozenset({errno.EAGAIN, errno.EACCES})
_NO_FLOCK = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})

Say = Callable[[str], None]


@contextmanager
def hold_lock(folder: Folder, command: str, *, timeout: float, say: Say) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs.

    Waits up to `timeout` seconds, saying once for whom; then raises `StateError` that names the
    holder and its age. The lock of a process that died is free.
    """
    me = this_process(command, time.time())
    attempt = _Attempt(folder, me)
    try:
        _acquire(attempt, timeout, say)
        attempt.sign(say)
    except OSError as problem:
        attempt.release()
        raise write_error(folder.path, problem) from problem
    except SkillpmError:
        attempt.release()
        raise
    try:
        yield
    finally:
        attempt.release()


def abandoned(folder: Folder) -> bool:
    """Whether the lock of `folder` still bears the name of a process that died holding it."""
    owner = read_owner(folder, HOLDER)
    return owner is not None and owner.state() is ProcessState.DEAD


def _acquire(attempt: "_Attempt", timeout: float, say: Say) -> None:
    started, told = time.monotonic(), False
    while not attempt.try_acquire():
        waited = time.monotonic() - started
        owner = attempt.owner()  # asked once: it may end, and another follow that has not signed
        patience = timeout if owner is not None else timeout + _GRACE
        if waited >= patience:
            raise StateError(
                f"the project is in use by {_who(owner)}; waited {age(waited)}",
                hint=attempt.hint(),
            )
        if not told and waited >= min(_PAUSE, timeout):
            say(f"waiting for {_who(owner)}")
            told = True
        time.sleep(min(_PAUSE, max(0.0, patience - waited)))


def _who(owner: Owner | None) -> str:
    return owner.describe(time.time()) if owner else "another skillpm command"


@dataclass
class _Attempt:
    """The lock as one process sees it: the kernel's, or a claim file where that has none."""

    folder: Folder
    me: Owner
    fd: int = -1
    claimed: bool = False
    signed: bool = False

    def try_acquire(self) -> bool:
        """Try to take the lock, without waiting."""
        try:
            fd = open_lock_file(self.folder, LOCK)
        except OSError as problem:
            raise write_error(self.folder.path / LOCK, problem) from problem
        try:
            status = self.folder.status(LOCK)
            taken = self._flock(fd) and status is not None and os.fstat(fd).st_ino == status.st_ino
        except BaseException:
            os.close(fd)
            raise
        if taken:
            self.fd = fd
        else:
            os.close(fd)
        return taken

    def _flock(self, fd: int) -> bool:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as problem:
            if problem.errno in _BUSY:
                return False
            if problem.errno in _NO_FLOCK:
                return self.take_claim()
            raise
        return True

    def take_claim(self) -> bool:
        """The lock of a file system that has none: a file made by one process alone.

        A claim of a process that is dead for certain is taken over; one from elsewhere never is.
        """
        if self.folder.create(CLAIM, self.me.dumps()):
            self.claimed = True
            return True
        owner = read_owner(self.folder, CLAIM)
        if owner is not None and owner.state() is ProcessState.DEAD:
            self._remove_dead_claim(owner)
        return False

    def _remove_dead_claim(self, dead: Owner) -> None:
        """Take a dead claim away, by a rename: of several that try, one finds it."""
        aside = f".{CLAIM}-dead.{os.getpid()}.tmp"
        with suppress(SkillpmError):
            self.folder.rename(CLAIM, aside)
            if read_owner(self.folder, aside) != dead:  # another process buried it, and claimed
                self.folder.link(aside, CLAIM)  # its claim is given back
            self.folder.remove(aside)

    def sign(self, say: Say) -> None:
        """Say who holds the lock; and whose it was, where that process did not end well."""
        before = read_owner(self.folder, HOLDER)
        if before is not None and before.state() is not ProcessState.ALIVE:
            say(f"took over from {before.describe(self.me.since)}, which was cut off")
        self.folder.write(HOLDER, self.me.dumps())
        self.signed = True

    def owner(self) -> Owner | None:
        """Who holds the lock; None while it is unsigned, or still bears a dead process's name."""
        owner = read_owner(self.folder, HOLDER) or read_owner(self.folder, CLAIM)
        return None if owner is None or owner.state() is ProcessState.DEAD else owner

    def hint(self) -> str:
        owner = read_owner(self.folder, CLAIM)
        if owner is not None and owner.state() is ProcessState.ELSEWHERE:
            place = shlex.quote(str(self.folder.path / CLAIM))
            return f"wait for it; if that machine is gone for good, `rm {place}`"
        return "wait for it to end, or end it, then run the command again"

    def release(self) -> None:
        """Give the lock back; may be called where it was never taken."""
        if self.fd < 0:
            return
        for name, ours in ((HOLDER, self.signed), (CLAIM, self.claimed)):
            if ours:
                with suppress(SkillpmError):
                    self.folder.remove(name)
        os.close(self.fd)
        self.fd = -1
