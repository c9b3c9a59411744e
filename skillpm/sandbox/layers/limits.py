"""Limits of the kernel on memory, time, files and processes of the worker (setrlimit)."""

import resource
from contextlib import suppress
from pathlib import Path

from skillpm.sandbox.policy import SandboxLimits

_STATM = Path("/proc/self/statm")


def address_space() -> int | None:
    """Bytes of address space that this process has mapped; None where the system does not say."""
    try:
        return int(_STATM.read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return None


def set_limits(limits: SandboxLimits, mapped: int | None) -> str:
    """Apply the limits; `mapped` is what `address_space` said before /proc went out of sight.

    The number of processes is zero: the worker can start neither a process nor a thread. The
    kernel counts per user but compares with the caller's own limit, so the user's other processes
    are not affected. Raises `OSError` where neither memory nor processor time can be limited.
    """
    seconds = limits.processor_seconds
    wanted = {
        "RLIMIT_CPU": seconds,
        "RLIMIT_DATA": limits.memory + (mapped or 0),
        "RLIMIT_FSIZE": limits.folder_bytes,
        "RLIMIT_NOFILE": limits.open_files,
        "RLIMIT_NPROC": 0,
        "RLIMIT_CORE": 0,
        "RLIMIT_MEMLOCK": 0,
        "RLIMIT_MSGQUEUE": 0,
    }
    if mapped is not None:
        wanted["RLIMIT_AS"] = limits.memory + mapped
    done = [name for name, value in wanted.items() if _lower(name, value)]
    if "RLIMIT_CPU" not in done or not {"RLIMIT_DATA", "RLIMIT_AS"} & set(done):
        raise OSError(0, "the system limits neither memory nor processor time")
    return f"{limits.memory >> 20} MiB, {seconds} s of processor time, no processes"


def _lower(name: str, value: int) -> bool:
    kind = getattr(resource, name, None)
    if kind is None:
        return False
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
        return True
    return False
