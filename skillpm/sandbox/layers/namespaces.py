"""Linux namespaces, which hide the network, other processes and shared memory from the worker."""

import errno
import os
from pathlib import Path

from skillpm.sandbox import libc
from skillpm.sandbox.report import SandboxLayer

_USER = 0x10000000
_FLAGS = {
    SandboxLayer.NETWORK_NAMESPACE: 0x40000000,
    SandboxLayer.PID_NAMESPACE: 0x20000000,
    SandboxLayer.IPC_NAMESPACE: 0x08000000 | 0x04000000,  # And UTS, which holds the host name.
    SandboxLayer.MOUNT_NAMESPACE: 0x00020000,
}
_CAP_SYS_ADMIN = 21


def is_administrator() -> bool:
    """Whether this process can create namespaces without a user namespace (CAP_SYS_ADMIN)."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return False
    mask = next((line.split()[1] for line in lines if line.startswith("CapEff:")), "0")
    return bool(int(mask, 16) >> _CAP_SYS_ADMIN & 1)


def enter_user_namespace() -> str:
    """Enter a new user namespace in which this process has the same user ID. Raises `OSError`.

    The process gets capabilities that are valid only inside the namespace. It must have one thread.
    """
    user, group = os.geteuid(), os.getegid()
    try:
        libc.call("unshare", _USER)
    except OSError as problem:
        if problem.errno == errno.ENOSPC:
            raise OSError(problem.errno, "the system allows no user namespaces") from problem
        raise
    for name, line in (
        ("setgroups", "deny"),
        ("uid_map", f"{user} {user} 1"),
        ("gid_map", f"{group} {group} 1"),
    ):
        Path(f"/proc/self/{name}").write_text(line)
    return f"user {user}"


def enter_namespace(layer: SandboxLayer) -> str:
    """Enter a new namespace. A PID namespace takes effect for the next child. Raises `OSError`."""
    libc.call("unshare", _FLAGS[layer])
    return "private"
