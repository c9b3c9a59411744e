"""A lock for one writing command at a time. It ends with its process and names its holder."""

import errno
import os
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from filelock import lock_descriptor

from skillpm.errors import SkillpmError, StateError
from skillpm.files.errors import write_error
from skillpm.files.folder import Folder
from skillpm.files.locking import open_lock_file, wait_for_lock
from skillpm.journal.owner import HOLDER, Owner, ProcessState, age, read_owner, this_process

LOCK = "lock"
CLAIM = "lock.claim"
_NO_FLOCK = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL})

Say = Callable[[str], None]


@contextmanager
def hold_lock(
    folder: Folder,
    command: str,
    *,
    timeout: float,
    say: Say,
    what: str = "the project",
    prefix: str = "",
) -> Iterator[None]:
    """Hold the lock of `folder` while the block runs. `what` names the folder in messages.

    Waits up to `timeout` seconds for another holder and reports this once through `say`. Then
    raises `StateError` with the holder and its age. The lock of a dead process is free.

    The names of the lock's files start with `prefix`: a folder with files of other programs may
    have a lock for one of its files.
    """
    me = this_process(command, time.time())
    attempt = _Attempt(folder, me, prefix)
    try:
        _acquire(attempt, timeout, say, what)
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
    """Whether the recorded holder of the lock of `folder` is a dead process."""
    owner = read_owner(folder, HOLDER)
    return owner is not None and owner.state() is ProcessState.DEAD


def _acquire(attempt: "_Attempt", timeout: float, say: Say, what: str) -> None:
    def busy(holder: str, waited: float) -> SkillpmError:
        end = f"; waited {age(waited)}" if timeout else ""
        return StateError(f"{what} is in use by {holder}{end}", hint=attempt.hint())

    wait_for_lock(
        attempt.try_acquire,
        attempt.holder,
        timeout=timeout,
        say=lambda holder: say(f"waiting for {holder}"),
        busy=busy,
    )


@dataclass
class _Attempt:
    """One process's attempt to take the lock: with `flock`, else with a claim file."""

    folder: Folder
    me: Owner
    prefix: str = ""
    fd: int = -1
    claimed: bool = False
    signed: bool = False

    def __post_init__(self) -> None:
        names = (LOCK, CLAIM, HOLDER)
        self._lock, self._claim, self._holder = (f"{self.prefix}{name}" for name in names)

    def try_acquire(self) -> bool:
        """Try to take the lock, without waiting."""
        try:
            fd = open_lock_file(self.folder, self._lock)
        except OSError as problem:
            raise write_error(self.folder.path / self._lock, problem) from problem
        try:
            # The holder may have removed the file meanwhile.
            taken = self._flock(fd) and self.folder.leads_to(self._lock, fd)
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
            return lock_descriptor(fd, blocking=False)
        except OSError as problem:
            if problem.errno not in _NO_FLOCK:
                raise
            return self.take_claim()

    def take_claim(self) -> bool:
        """Take the lock on a file system without `flock`, by creating a claim file exclusively.

        A claim of a dead process is removed, so that the next attempt succeeds. A claim of a
        process that cannot be checked from here is kept.
        """
        if self.folder.create(self._claim, self.me.dumps()):
            self.claimed = True
            return True
        owner = read_owner(self.folder, self._claim)
        if owner is not None and owner.state() is ProcessState.DEAD:
            self._remove_dead_claim(owner)
        return False

    def _remove_dead_claim(self, dead: Owner) -> None:
        """Remove the claim of a dead process, by a rename that only one process can win."""
        aside = f".{self._claim}-dead.{os.getpid()}.tmp"
        with suppress(SkillpmError):
            self.folder.rename(self._claim, aside)
            if read_owner(self.folder, aside) != dead:  # another process has already replaced it
                self.folder.link(aside, self._claim)  # restore the claim of that process
            self.folder.remove(aside)

    def sign(self, say: Say) -> None:
        """Record this process as holder. Report a previous holder that did not release the lock."""
        before = read_owner(self.folder, self._holder)
        if before is not None and before.state() is not ProcessState.ALIVE:
            say(f"took over from {before.describe(self.me.since)}, which was interrupted")
        self.folder.write(self._holder, self.me.dumps())
        self.signed = True

    def owner(self) -> Owner | None:
        """The holder of the lock; None if none is recorded or the recorded one is dead."""
        owner = read_owner(self.folder, self._holder) or read_owner(self.folder, self._claim)
        return None if owner is None or owner.state() is ProcessState.DEAD else owner

    def holder(self) -> str | None:
        """The holder as messages name it; None under the conditions of `owner`."""
        owner = self.owner()
        return None if owner is None else owner.describe(time.time())

    def hint(self) -> str:
        """How to get the lock."""
        owner = read_owner(self.folder, self._claim)
        if owner is not None and owner.state() is ProcessState.ELSEWHERE:
            place = shlex.quote(str(self.folder.path / self._claim))
            return f"wait until the other command ends; if its machine is gone, run `rm {place}`"
        return "wait until the other command ends, or stop it; then run this command again"

    def release(self) -> None:
        """Release the lock. Does nothing if it was not taken."""
        if self.fd < 0:
            return
        for name, written in ((self._holder, self.signed), (self._claim, self.claimed)):
            if written:
                with suppress(SkillpmError):
                    self.folder.remove(name)
        os.close(self.fd)
        self.fd = -1
