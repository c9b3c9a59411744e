"""Runs each order (a line of JSON) as a skillpm command in a forked child that may be killed.

`kill` counts the child's calls that could matter to a file: it dies with SIGKILL just before one of
them or just after it. `after` is a timer instead: the parent kills the child when it has run out.
"""

import json
import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import skillpm.flows.audit
import skillpm.flows.identify
import skillpm.flows.install
import skillpm.flows.listing
import skillpm.flows.lock
import skillpm.flows.publish
import skillpm.flows.rollback
import skillpm.flows.uninstall  # noqa: F401 - imported once here, so that a child starts fast
from skillpm.cli import main

DANGEROUS = frozenset(
    {"open", "write", "pwrite", "fsync", "replace", "rename", "mkdir", "unlink", "rmdir", "remove",
     "link", "ioctl", "copy_file_range", "sendfile", "ftruncate", "close", "connect", "execute",
     "executemany", "commit", "flock"}
)  # fmt: skip


COUNT_ONLY = -1


def die_at(number: int, counted: int) -> None:
    """Have this process kill itself at its n-th dangerous call or return, in any thread.

    The file `counted` always holds the number that was reached.
    """
    seen = 0
    write = os.pwrite

    def count(_frame: FrameType, event: str, function: Any) -> None:
        nonlocal seen
        if event not in ("c_call", "c_return") or function.__name__ not in DANGEROUS:
            return
        if isinstance(getattr(function, "__self__", None), str | bytes):
            return
        seen += 1
        if number == COUNT_ONLY and function is not write:
            write(counted, f"{seen:08}".encode(), 0)
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(count)
    sys.setprofile(count)


def child(order: dict[str, Any], counted: int) -> None:
    """Run the command to its end, or to the kill."""
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    if order["kill"]:
        die_at(order["kill"], counted)
    code: Any = 70
    try:
        main(order["command"])
    except SystemExit as done:
        code = done.code
    finally:
        sys.setprofile(None)
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def obey(order: dict[str, Any]) -> dict[str, Any]:
    """How the command ended; its code is None where it was killed."""
    out, err, counted = map(os.memfd_create, ("out", "err", "counted"))
    forked = os.fork()
    if not forked:
        os.dup2(out, 1)
        os.dup2(err, 2)
        child(order, counted)
    if order["after"] is not None:
        time.sleep(order["after"])
        os.kill(forked, signal.SIGKILL)
    status = os.waitpid(forked, 0)[1]
    said = [Path(f"/proc/self/fd/{fd}").read_text() for fd in (out, err, counted)]
    for fd in (out, err, counted):
        os.close(fd)
    code = None if os.WIFSIGNALED(status) else os.waitstatus_to_exitcode(status)
    return {"code": code, "out": said[0], "err": said[1], "count": int(said[2] or 0)}


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(obey(json.loads(line))), flush=True)  # noqa: T201
