"""The supervisor: a trusted process between skillpm and the workers.

The supervisor imports the worker's module once and forks a new process for every session. A worker
starts in milliseconds and has no data of earlier sessions. When skillpm ends for any reason, the
supervisor kills the worker, removes its folder and ends too.
"""

import importlib
import json
import os
import select
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from skillpm.sandbox.layers.privileges import adopt_orphans
from skillpm.sandbox.messages import OPEN, dump_line, first_line
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.readable_paths import readable_paths
from skillpm.sandbox.worker import WorkerSession

_PIPES = 3
_WATCH = 0.2
"""Seconds between two checks of the size of a worker's folder."""


@dataclass
class Supervisor:
    """The supervisor's state: policy, socket to skillpm, and the parent of the workers' folders."""

    policy: SandboxPolicy
    control: socket.socket
    folder: Path

    def run(self) -> None:
        """Run sessions one after another until skillpm closes the socket."""
        importlib.import_module(self.policy.module)
        readable = readable_paths(programs=self.policy.programs)
        self.control.sendall(dump_line({"folder": str(self.folder)}))
        number = 0
        while pipes := self._next_session():
            number += 1
            folder = self.folder / f"{number}"
            folder.mkdir(mode=0o700)
            session = WorkerSession(self.policy, readable, folder, self.control.fileno())
            if self.policy.forks:
                self._fork(session, pipes)
            else:
                self._become(session, pipes)
            shutil.rmtree(folder, ignore_errors=True)

    def _next_session(self) -> list[int]:
        """Wait for the pipes of the next session; an empty list when skillpm has ended.

        Skips requests to end a session that has already ended.
        """
        while True:
            message, pipes, _, _ = socket.recv_fds(self.control, 1, _PIPES)
            if message == OPEN:
                return pipes
            if not message:
                return []

    def _fork(self, session: WorkerSession, pipes: list[int]) -> None:
        life, held = os.pipe()
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            _run_or_exit(replace(session, life=held), pipes)
        with suppress(OSError):  # The child may have done so itself, or may have ended.
            os.setpgid(child, child)
        for handle in (*pipes, held):
            os.close(handle)
        is_folder_full = self._wait(life, session.folder)
        with suppress(OSError):
            os.killpg(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        with suppress(ChildProcessError):
            while True:  # Orphans of the child, which this process has adopted.
                os.waitpid(-1, 0)
        os.close(life)
        code = os.waitstatus_to_exitcode(status)
        ended = {"ended": 128 - code if code < 0 else code, "over": is_folder_full}
        self.control.sendall(dump_line(ended))

    def _wait(self, life: int, folder: Path) -> bool:
        """Wait until the worker ends or skillpm ends the session.

        Returns whether the worker exceeded the limit of its folder.
        """
        allowed = self.policy.limits.folder_bytes
        poll = select.poll()
        for handle in (life, self.control.fileno()):
            poll.register(handle, select.POLLIN | select.POLLHUP)
        while not poll.poll(_WATCH * 1000 if allowed else None):
            if _written(folder) > allowed:
                return True
        return False

    def _become(self, session: WorkerSession, pipes: list[int]) -> None:
        """Become the worker. A thread ends this process when skillpm ends."""
        parent = os.getppid()
        threading.Thread(target=_end_with, args=(parent, self.folder), daemon=True).start()
        _run_or_exit(session, pipes)


def _run_or_exit(session: WorkerSession, pipes: list[int]) -> None:
    with suppress(BaseException):
        os.setpgid(0, 0)
    try:
        session.run(pipes)
    except BaseException as problem:  # noqa: BLE001 - else the child would go on as a supervisor
        with suppress(OSError):
            os.write(session.control, dump_line({"broken": first_line(problem)}))
        os._exit(1)
    os._exit(0)


def _end_with(parent: int, folder: Path) -> None:
    while os.getppid() == parent:
        time.sleep(_WATCH)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)


def _written(folder: Path) -> int:
    """The size of the files in a folder in bytes; each counts as 4 KiB or more."""
    total = 0
    with suppress(OSError):
        for entry in os.scandir(folder):
            with suppress(OSError):
                total += max(4096, entry.stat(follow_symlinks=False).st_size)
    return total


def main() -> None:
    """Run a supervisor. The arguments are the policy as JSON and the socket's descriptor."""
    policy = SandboxPolicy.from_dict(json.loads(sys.argv[1]))
    control = socket.socket(fileno=int(sys.argv[2]))
    for name in policy.hidden:
        sys.modules[name] = cast("Any", None)
    adopt_orphans()
    folder = Path(tempfile.mkdtemp(prefix="skillpm-sandbox-"))
    tempfile.tempdir = os.environ["TMPDIR"] = str(folder)  # Libraries write caches there.
    try:
        Supervisor(policy, control, folder).run()
    except BaseException as problem:  # noqa: BLE001 - the parent reports the error
        with suppress(OSError):
            control.sendall(dump_line({"broken": first_line(problem)}))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
