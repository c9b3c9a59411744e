"""Dropping privileges: capabilities, set-user-ID programs, tracing, and outliving the parent."""

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

from skillpm.sandbox import libc

_PR_SET_PDEATHSIG = 1
_PR_SET_DUMPABLE = 4
_PR_CAPBSET_DROP = 24
_PR_SET_CHILD_SUBREAPER = 36
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL = 47, 4
_LAST_CAPABILITY = 63
_CAPABILITY_VERSION_3 = 0x20080522
_KEYCTL_JOIN_SESSION_KEYRING = 1
NOBODY = 65534
"""The ID of the unprivileged user and group that the worker gets if root starts it."""
_REFUSED, _UNREADABLE, _UNREACHABLE = 1, 2, 3
_OBSTACLES = {
    _REFUSED: "this process cannot change its user",
    _UNREADABLE: "`nobody` cannot read the folders of Python's libraries",
    _UNREACHABLE: "`nobody` cannot reach the folder for temporary files",
}


def end_with_parent() -> None:
    """Make the kernel kill this process when its parent ends. A change of user reverts this."""
    libc.call("prctl", _PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of orphaned descendants, so that this process can wait for them."""
    with suppress(OSError):
        libc.call("prctl", _PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def drop_privileges() -> str:
    """Drop capabilities and the session keyring, and forbid new privileges and tracing.

    PR_SET_NO_NEW_PRIVS keeps programs that are started later from gaining privileges. Clearing the
    dumpable flag keeps processes of the same user from attaching to the worker. Raises `OSError`.
    """
    with suppress(OSError):  # The session keyring contains the user's keys.
        libc.syscall("keyctl", _KEYCTL_JOIN_SESSION_KEYRING, 0, 0, 0, 0)
    for capability in range(_LAST_CAPABILITY + 1):
        with suppress(OSError):
            libc.call("prctl", _PR_CAPBSET_DROP, capability, 0, 0, 0)
    with suppress(OSError):
        libc.call("prctl", _PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0)
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION_3, 0)
    libc.syscall("capset", ctypes.byref(header), ctypes.byref((ctypes.c_uint32 * 6)()))
    libc.call("prctl", _PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    libc.call("prctl", _PR_SET_DUMPABLE, 0, 0, 0, 0)
    end_with_parent()
    return "no capabilities, no new privileges, not traceable"


def become_ordinary_user(readable: list[str], folder: Path | None) -> str:
    """Change from root to an unprivileged user and group, and make them the folder's owner.

    Raises `OSError` if this process cannot change its user, or if the new user cannot read all
    `readable` paths or cannot reach the folder.
    """
    if folder is not None:
        folder.parent.chmod(0o711)
    child = os.fork()
    if child == 0:  # The child tries the change first, because it cannot be undone.
        with suppress(BaseException):
            os._exit(_trial(readable, folder))
        os._exit(_REFUSED)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        reason = _OBSTACLES.get(status, _OBSTACLES[_REFUSED])
        raise OSError(1 if status == _REFUSED else 13, reason)
    if folder is not None:
        for path in (*folder.iterdir(), folder):
            os.chown(path, NOBODY, NOBODY)
    _change_user()
    return f"user {NOBODY}"


def _trial(readable: list[str], folder: Path | None) -> int:
    """Change the user of this process; return 0, or the key of an obstacle."""
    _change_user()
    if not all(os.access(path, os.R_OK) for path in readable):
        return _UNREADABLE
    # A folder for temporary files can be below a private one, such as root's home.
    return 0 if folder is None or os.access(folder.parent, os.X_OK) else _UNREACHABLE


def _change_user() -> None:
    os.setgroups([])
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
