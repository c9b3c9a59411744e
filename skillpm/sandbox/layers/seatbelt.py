"""Seatbelt, the sandbox of macOS: a process applies a profile to itself (`sandbox_init`)."""

import ctypes
import sys
from collections.abc import Iterable
from pathlib import Path

_LIBRARY = "/usr/lib/libsandbox.1.dylib"
_SYSTEM = ("/usr/lib", "/System/Library", "/dev/null", "/dev/zero", "/dev/urandom")


def profile(readable: Iterable[str], folder: str, *, writable: bool) -> str:
    """The profile in Seatbelt's language. It allows reading these paths and denies all else.

    With `writable`, writing to `folder` is allowed too.
    """
    reads = [*_SYSTEM, *readable, folder]
    lines = [
        "(version 1)",
        "(deny default)",
        "(deny network*)",
        "(deny process-fork)",
        "(deny process-exec*)",
        "(allow sysctl-read)",
        "(allow signal (target self))",
        "(allow file-read-metadata)",
        *(f"(allow file-read* (subpath {_quoted(path)}))" for path in _with_real(reads)),
        '(allow file-write-data (literal "/dev/null"))',
    ]
    if writable:
        lines += [f"(allow file-write* (subpath {_quoted(path)}))" for path in _with_real([folder])]
    return "\n".join(lines)


def enter_seatbelt(readable: Iterable[str], folder: str, *, writable: bool) -> str:
    """Apply the profile. Raises `OSError` on other systems, or if the system rejects it."""
    if sys.platform != "darwin":
        raise OSError(38, "macOS only")
    function = ctypes.CDLL(_LIBRARY).sandbox_init
    function.argtypes = [ctypes.c_char_p, ctypes.c_uint64, ctypes.POINTER(ctypes.c_char_p)]
    problem = ctypes.c_char_p()
    text = profile(readable, folder, writable=writable)
    if function(text.encode(), 0, ctypes.byref(problem)) != 0:
        raise OSError(1, (problem.value or b"the profile was refused").decode(errors="replace"))
    return "profile of skillpm"


def _with_real(paths: Iterable[str]) -> list[str]:
    """Each path as given and with links resolved, because /tmp and /var are links on macOS."""
    return sorted({name for path in paths for name in (path, str(Path(path).resolve()))})


def _quoted(path: str) -> str:
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'
