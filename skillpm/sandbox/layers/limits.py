"""The kernel's limits on memory, time, files and processes of the worker (`setrlimit`)."""

import os
import resource
from contextlib import suppress
from pathlib import Path

from skillpm.sandbox.policy import SandboxLimits

_STATM = Path("/proc/self/statm")


def address_space() -> int | None:
    """The address space that this process has mapped, in bytes; None if it is unknown."""
    try:
        return int(_STATM.read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError):
        return None


def set_limits(limits: SandboxLimits, mapped: int | None) -> str:
    """Apply the limits. `mapped` is the result of `address_space`, read while /proc was visible.

    The limit on processes is zero: the worker can start neither a process nor a thread. The kernel
    counts all processes of the user but compares with the limit of the calling process, so other
    processes of the user are not affected. It exempts root from this limit. Raises `OSError` unless
    processor time and memory can be limited.
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
    applied = {name for name, value in wanted.items() if _set_limit(name, value)}
    if "RLIMIT_CPU" not in applied or not {"RLIMIT_DATA", "RLIMIT_AS"} & applied:
        raise OSError(0, "the system cannot limit both memory and processor time")
    processes = "; root may start processes" if os.getuid() == 0 else ", no processes"
    return f"{limits.memory >> 20} MiB, {seconds} s of processor time{processes}"


def _set_limit(name: str, value: int) -> bool:
    """Set a limit, at most the hard limit. Returns False if the system does not support it."""
    kind = getattr(resource, name, None)
    if kind is None:
        return False
    with suppress(OSError, ValueError):
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
        return True
    return False
