"""Landlock (Linux 5.13): the process permanently gives up access to all other files."""

import ctypes
import os
import stat
from collections.abc import Iterable
from contextlib import suppress

from skillpm.sandbox import libc

_VERSION = 1
_RULE_PATH_BENEATH = 1
_EXECUTE = 1 << 0
_WRITE_FILE, _READ_FILE, _READ_DIR, _REMOVE_FILE, _MAKE_REG = 1 << 1, 1 << 2, 1 << 3, 1 << 5, 1 << 8
_TRUNCATE = 1 << 14
_READ = _READ_FILE | _READ_DIR
_WRITE = _WRITE_FILE | _REMOVE_FILE | _MAKE_REG
_OF_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_FILE_RIGHTS = {1: 13, 2: 14, 3: 15, 4: 15}
"""The number of file rights in each version; 16 from version 5 on, with rights over devices."""
_TRUNCATES, _NETWORK, _SCOPES = 3, 4, 6
"""The versions that added truncation, TCP, and scopes of signals and abstract sockets."""


class _Ruleset(ctypes.Structure):
    _fields_ = (
        ("files", ctypes.c_uint64),
        ("network", ctypes.c_uint64),
        ("scopes", ctypes.c_uint64),
    )


class _PathBeneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def landlock_version() -> int:
    """The version of Landlock's interface. Raises `OSError` if the kernel lacks Landlock."""
    return libc.syscall("landlock_create_ruleset", None, 0, _VERSION)


def restrict_files(
    readable: Iterable[str], folder: str, *, writable: bool, programs: bool = False
) -> str:
    """Deny access to all files except `readable` and `folder`, TCP, and signals to other processes.

    No file can be executed; with `programs`, only those in `readable`. PR_SET_NO_NEW_PRIVS must be
    set. Returns the version of Landlock. Raises `OSError` if the kernel lacks Landlock.
    """
    version = landlock_version()
    rules = _Ruleset(
        (1 << _FILE_RIGHTS.get(version, 16)) - 1,
        0b11 if version >= _NETWORK else 0,
        0b11 if version >= _SCOPES else 0,
    )
    size = 24 if version >= _SCOPES else 16 if version >= _NETWORK else 8
    ruleset = libc.syscall("landlock_create_ruleset", ctypes.byref(rules), size, 0)
    try:
        truncate = _TRUNCATE if version >= _TRUNCATES else 0
        for path in readable:
            _allow(ruleset, path, _READ | (_EXECUTE if programs else 0))
        _allow(ruleset, folder, _READ | ((_WRITE | truncate) if writable else 0))
        _allow(ruleset, "/dev/null", _READ_FILE | _WRITE_FILE)
        for device in ("/dev/zero", "/dev/urandom"):
            _allow(ruleset, device, _READ_FILE)
        libc.syscall("landlock_restrict_self", ruleset, 0)
    finally:
        os.close(ruleset)
    return f"version {version}"


def _allow(ruleset: int, path: str, rights: int) -> None:
    """Allow rights over a path and all entries below it. A missing path is skipped."""
    with suppress(FileNotFoundError, PermissionError, NotADirectoryError):
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            if not stat.S_ISDIR(os.fstat(handle).st_mode):
                rights &= _OF_FILES
            rule = _PathBeneath(rights, handle)
            libc.syscall("landlock_add_rule", ruleset, _RULE_PATH_BENEATH, ctypes.byref(rule), 0)
        finally:
            os.close(handle)
