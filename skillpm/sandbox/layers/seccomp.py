"""Seccomp: an allow-list of system calls, without sockets, processes, programs, tracing and keys.

The filter is a classic BPF program over `struct seccomp_data`: number, architecture, instruction
pointer and six arguments. A call that is not on the list fails with EPERM. A call that is newer
than the list fails with ENOSYS, so that the C library falls back to an older call.
"""

import ctypes
import errno
import os
import struct
from collections.abc import Sequence

from skillpm.sandbox import libc
from skillpm.sandbox.layers.syscalls import MACHINES, NEEDED, PROGRAMS, WRITING

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2
_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _AND, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x54, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_ALLOW, _FAIL, _KILL = 0x7FFF0000, 0x00050000, 0x80000000
_X32 = 0x40000000
"""The bit of calls of the x32 interface, which gives the same calls other numbers."""
_NEWER = 424
"""Numbers from here on belong to Linux 5.1 and later, on every architecture."""
_OPEN_TO_WRITE = (
    os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND | getattr(os, "O_TMPFILE", 0)
) & ~getattr(os, "O_DIRECTORY", 0)
_IOCTLS = (0x5401, 0x5451, 0x5450, 0x541B)
"""TCGETS (`isatty`), FIOCLEX, FIONCLEX, FIONREAD."""
_FCNTLS = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 1034)
"""Duplication, flags and locks of an open file; no command that sends signals (F_SETOWN)."""
_PRCTLS = (15, 16, 0x53564D41)
"""PR_SET_NAME, PR_GET_NAME, and PR_SET_VMA, with which the C library names memory."""

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand: `struct sock_filter`."""


class _Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def filter_calls(*, writable: bool, programs: bool = False) -> str:
    """Install the filter; it cannot be removed. PR_SET_NO_NEW_PRIVS must be set.

    Raises `OSError`.
    """
    name = libc.machine()
    if name not in MACHINES or struct.calcsize("P") != ctypes.sizeof(ctypes.c_uint64):
        raise OSError(errno.ENOSYS, f"skillpm has no table of system calls for {name}")
    program = assemble(name, os.getpid(), writable=writable, programs=programs)
    code = b"".join(struct.pack("=HBBI", *instruction) for instruction in program)
    buffer = ctypes.create_string_buffer(code, len(code))
    argument = _Program(len(program), ctypes.addressof(buffer))
    libc.call("prctl", _PR_SET_SECCOMP, _MODE_FILTER, ctypes.byref(argument), 0, 0)
    return f"{len(program)} instructions"


def assemble(
    machine: str, process: int, *, writable: bool, programs: bool = False
) -> list[Instruction]:
    """The BPF program for an architecture. `process` is the process ID in its own namespace."""
    column = MACHINES.index(machine)
    table = {**NEEDED, **(WRITING if writable else {}), **(PROGRAMS if programs else {})}
    numbers = {name: pair[column] for name, pair in table.items()}
    program: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _X32),
        (_RETURN, 0, 0, _KILL),
    ]
    checked = _checked_calls(process, writable=writable)
    for name, number in numbers.items():
        if number is not None:
            body = checked.get(name, [(_RETURN, 0, 0, _ALLOW)])
            program += [(_EQUAL, 0, len(body), number), *body]
    return [
        *program,
        (_AT_LEAST, 0, 1, _NEWER),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
        (_RETURN, 0, 0, _FAIL | errno.EPERM),
    ]


def _checked_calls(process: int, *, writable: bool) -> dict[str, list[Instruction]]:
    """The program of each call whose argument is checked, by name.

    The kernel uses only the low 32 bits of these arguments, and so does the filter.
    """
    programs = {
        "kill": _one_of(0, (process,), errno.EPERM),
        "tgkill": _one_of(0, (process,), errno.EPERM),
        "prlimit64": _one_of(0, (0, process), errno.EPERM),
        "ioctl": _one_of(1, _IOCTLS, errno.ENOTTY),
        "fcntl": _one_of(1, _FCNTLS, errno.EPERM),
        "prctl": _one_of(0, _PRCTLS, errno.EPERM),
    }
    if not writable:
        programs |= {"open": _read_only(1), "openat": _read_only(2)}
    return programs


def _load(argument: int) -> Instruction:
    return (_LOAD, 0, 0, _ARGUMENTS + 8 * argument)


def _one_of(argument: int, values: Sequence[int], error: int) -> list[Instruction]:
    """Fail with `error` unless the argument is one of the values."""
    tests: list[Instruction] = [
        (_EQUAL, len(values) - place, 0, value) for place, value in enumerate(values)
    ]
    return [_load(argument), *tests, (_RETURN, 0, 0, _FAIL | error), (_RETURN, 0, 0, _ALLOW)]


def _read_only(argument: int) -> list[Instruction]:
    """Fail with EROFS if the flags in `argument` open a file for writing or create one."""
    return [
        _load(argument),
        (_ANY_BIT, 0, 1, _OPEN_TO_WRITE),
        (_RETURN, 0, 0, _FAIL | errno.EROFS),
        (_RETURN, 0, 0, _ALLOW),
    ]
