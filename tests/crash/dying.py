"""Makes a process kill itself at its n-th call that could affect a file or a connection.

As a program, `dying.py POINT COUNTER COMMAND...` runs a skillpm command that dies so; the file
COUNTER has the number of calls so far.
"""

import os
import signal
import sys
import threading
from types import FrameType
from typing import Any

DANGEROUS = frozenset(
    {"open", "write", "pwrite", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "remove",
     "link", "ioctl", "copy_file_range", "sendfile", "ftruncate", "close", "connect", "execute",
     "executemany", "commit", "flock", "utime", "mkdtemp", "truncate"}
)  # fmt: skip
NETWORK = frozenset({"send", "sendall", "recv", "recv_into", "connect", "shutdown"})
COUNT_ONLY = -1


def die_at(
    number: int,
    counted: int | None = None,
    how: int = signal.SIGKILL,
    calls: frozenset[str] = DANGEROUS,
) -> None:
    """Make this process kill (or stop) itself at its n-th dangerous call or return, in any thread.

    With `COUNT_ONLY`, the file `counted` always holds the number of calls so far.
    """
    seen = 0
    write = os.pwrite

    def count(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal seen
        if event not in ("c_call", "c_return") or function.__name__ not in calls:
            return
        if isinstance(getattr(function, "__self__", None), str | bytes):
            return
        seen += 1
        if number == COUNT_ONLY and counted is not None and function is not write:
            write(counted, f"{seen:08}".encode(), 0)
        if seen == number:
            os.kill(os.getpid(), how)

    threading.setprofile(count)
    sys.setprofile(count)


if __name__ == "__main__":
    from skillpm.cli import main

    die_at(
        int(sys.argv[1]), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT), calls=DANGEROUS | NETWORK
    )
    main(sys.argv[3:])
