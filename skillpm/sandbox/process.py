"""The parent's side of the sandbox: it starts the supervisor and opens sessions."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.layers.environment import clean_environment
from skillpm.sandbox.messages import END, OPEN
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.session import SandboxSession

_START = 300.0
"""Seconds for importing the libraries, on a busy machine."""
_STOP = 10.0
"""Seconds for the supervisor to end."""
_LINE = 1 << 16
"""The largest size of a message of the supervisor, in bytes."""


@dataclass
class Sandbox:
    """A supervisor and its current session. Both end with this object or with this process.

    The supervisor is started by the first session. Opening a session ends the session before it.
    Not thread-safe.
    """

    policy: SandboxPolicy
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _control: socket.socket | None = field(default=None, repr=False)
    _received: bytearray = field(default_factory=bytearray, repr=False)
    _end: Any = field(default=None, repr=False)
    _session: SandboxSession | None = field(default=None, repr=False)

    def open(self, files: Mapping[str, bytes], seconds: float) -> SandboxSession:
        """Start a worker with these files in its folder.

        `seconds` limits the total time of all requests. Raises `ForeignWorkError` if the sandbox
        cannot be started.
        """
        self.end_session()
        if self._process is None:
            self._start()
        try:
            self._session = SandboxSession.start(self, files, seconds)
        except BaseException:
            self.close()  # The supervisor's state is unknown.
            raise
        return self._session

    def send_pipes(self, pipes: list[int]) -> None:
        """Request a worker with these pipes as standard input, output and error."""
        if self._control is None:
            raise self._not_started("it is closed")
        try:
            socket.send_fds(self._control, [OPEN], pipes)
        except OSError as problem:
            raise self._not_started(str(problem)) from problem

    def next_message(self, seconds: float = _START) -> dict[str, Any]:
        """Wait for the next message of the supervisor; `{}` if it has ended, or at the timeout."""
        deadline = time.monotonic() + seconds
        while b"\n" not in self._received and self._control is not None:
            self._control.settimeout(max(0.01, deadline - time.monotonic()))
            try:
                data = self._control.recv(_LINE)
            except OSError:
                data = b""
            if not data or len(self._received) > _LINE:
                return {}
            self._received += data
        line, _, rest = bytes(self._received).partition(b"\n")
        self._received = bytearray(rest)
        message: dict[str, Any] = json.loads(line or b"{}")
        return message

    def end_session(self) -> dict[str, Any]:
        """Kill the current worker, if there is one.

        Returns the supervisor's message on how the worker ended; `{}` if there is none.
        """
        session, self._session = self._session, None
        if session is None or self._control is None:
            return {}
        session.pipes.close()
        if not self.policy.forks:
            self.close()
            return {}
        with suppress(OSError):  # The supervisor may have ended.
            self._control.sendall(END)
            ended = self.next_message(_STOP)
            if "ended" in ended:
                return ended
        self.close()
        return {}

    def close(self) -> None:
        """End the supervisor and all processes that it has started."""
        if self._end is not None:
            self._end()
        self._process = self._control = self._end = self._session = None
        self._received.clear()

    def _start(self) -> None:
        if not sys.executable:
            raise self._not_started("the path of the Python interpreter is unknown")
        control, remote = socket.socketpair()
        # -P: Python must not import modules from the current folder.
        command = [sys.executable, "-P", "-m", "skillpm.sandbox.supervisor"]
        with remote:
            self._process = subprocess.Popen(
                [*command, json.dumps(self.policy.to_dict()), str(remote.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=clean_environment(os.environ),
                pass_fds=(remote.fileno(),),
                start_new_session=True,
            )
        self._control = control
        folders: list[str] = []
        self._end = weakref.finalize(
            self, _end, self._process, control, folders, wait=self.policy.forks
        )
        greeting = self.next_message()
        if "folder" not in greeting:
            self.close()
            raise self._not_started(str(greeting.get("broken", "it does not answer")))
        folders.append(greeting["folder"])

    def _not_started(self, reason: str) -> ForeignWorkError:
        return ForeignWorkError(FailureKind.NOT_STARTED, f"the sandbox cannot be started: {reason}")


def _end(
    process: "subprocess.Popen[bytes]", control: socket.socket, folders: list[str], *, wait: bool
) -> None:
    """End a supervisor: close its socket, so that it cleans up and ends, then kill it."""
    control.close()
    if wait:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in folders:
        shutil.rmtree(path, ignore_errors=True)
