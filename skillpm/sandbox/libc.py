"""Linux system calls that Python's standard library lacks, by ctypes. All raise `OSError`."""

import ctypes
import os
from typing import Any

_LIBC = ctypes.CDLL(None, use_errno=True)
_NUMBERS = {
    "x86_64": {"pivot_root": 155, "capset": 126, "keyctl": 250},
    "aarch64": {"pivot_root": 41, "capset": 91, "keyctl": 219},
}
_COMMON = {
    "mount_setattr": 442,
    "landlock_create_ruleset": 444,
    "landlock_add_rule": 445,
    "landlock_restrict_self": 446,
}
"""Calls since Linux 5.1, which have the same number on every architecture."""


def machine() -> str:
    """The name of the architecture in Linux: `x86_64`, `aarch64`."""
    name = os.uname().machine
    return {"arm64": "aarch64", "amd64": "x86_64"}.get(name, name)


def call(name: str, *arguments: Any) -> int:
    """Call a function of the C library that returns −1 and sets `errno` on failure."""
    function = getattr(_LIBC, name, None)
    if function is None:
        raise OSError(38, f"the C library has no {name}")
    return _checked(int(function(*map(_argument, arguments))), name)


def syscall(name: str, *arguments: Any) -> int:
    """Make a system call by its name. Raises `OSError` also if its number is unknown."""
    number = _COMMON.get(name) or _NUMBERS.get(machine(), {}).get(name)
    if number is None:
        raise OSError(38, f"{name} is not known on {machine()}")
    _LIBC.syscall.restype = ctypes.c_long
    return _checked(int(_LIBC.syscall(ctypes.c_long(number), *map(_argument, arguments))), name)


def _argument(value: Any) -> Any:
    """Convert an argument for ctypes, which would pass only the low 32 bits of an integer."""
    if isinstance(value, int):
        return ctypes.c_long(value)
    return ctypes.c_char_p(os.fsencode(value)) if isinstance(value, (str, os.PathLike)) else value


def _checked(result: int, name: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
    return result
