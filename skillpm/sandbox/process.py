"""The parent's side: a sandbox that is started when it is first needed, and sessions in it."""

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
"""Seconds to import the libraries on a busy machine."""
_STOP = 10.0
_LINE = 1 << 16
"""Bytes of a message of the supervisor."""


@dataclass
class Sandbox:
    """A supervisor and its current session; both end with this object or with this process.

    Sessions follow one another: opening one ends the one before it. Not for several threads.
    """

    policy: SandboxPolicy
    _process: "subprocess.Popen[bytes] | None" = field(default=None, repr=False)
    _control: socket.socket | None = field(default=None, repr=False)
    _received: bytearray = field(default_factory=bytearray, repr=False)
    _end: Any = field(default=None, repr=False)
    _session: SandboxSession | None = field(default=None, repr=False)

    def open(self, files: Mapping[str, bytes], seconds: float) -> SandboxSession:
        """A new worker whose folder holds these files, with a bound on its time in all.

        The time counts from when the worker is ready. Raises `ForeignWorkError` if the sandbox
        cannot be started.
        """
        self.end_session()
        if self._process is None:
            self._start()
        try:
            self._session = SandboxSession.start(self, files, seconds)
        except BaseException:
            self.close()  # what the supervisor thinks of this session is not known
            raise
        return self._session

    def send_pipes(self, pipes: list[int]) -> None:
        """Ask the supervisor for a worker with these standard files."""
        if self._control is None:
            raise self._not_started("it is closed")
        try:
            socket.send_fds(self._control, [OPEN], pipes)
        except OSError as problem:
            raise self._not_started(str(problem)) from problem

    def next_message(self, seconds: float = _START) -> dict[str, Any]:
        """The next message of the supervisor; `{}` where it has ended or says nothing in time."""
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
        found: dict[str, Any] = json.loads(line or b"{}")
        return found

    def end_session(self) -> dict[str, Any]:
        """Kill the current worker, if there is one; how it ended."""
        session, self._session = self._session, None
        if session is None or self._control is None:
            return {}
        session.pipes.close()
        if not self.policy.forks:
            self.close()
            return {}
        with suppress(OSError):  # a supervisor that has ended says nothing
            self._control.sendall(END)
            ended = self.next_message(_STOP)
            if "ended" in ended:
                return ended
        self.close()
        return {}

    def close(self) -> None:
        """End the supervisor and all that it has started."""
        if self._end is not None:
            self._end()
        self._process = self._control = self._end = self._session = None
        self._received.clear()

    def _start(self) -> None:
        if not sys.executable:
            raise self._not_started("Python does not know its own program")
        ours, theirs = socket.socketpair()
        # -P: the folder that a command runs in may hold modules of any name.
        command = [sys.executable, "-P", "-m", "skillpm.sandbox.supervisor"]
        with theirs:
            self._process = subprocess.Popen(
                [*command, json.dumps(self.policy.to_dict()), str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=clean_environment(os.environ),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._control = ours
        folder: list[str] = []
        self._end = weakref.finalize(
            self, _end, self._process, ours, folder, wait=self.policy.forks
        )
        hello = self.next_message()
        if "folder" not in hello:
            self.close()
            raise self._not_started(str(hello.get("broken", "it does not answer")))
        folder.append(hello["folder"])

    def _not_started(self, reason: str) -> ForeignWorkError:
        return ForeignWorkError(FailureKind.NOT_STARTED, f"the sandbox cannot be started: {reason}")


def _end(
    process: "subprocess.Popen[bytes]", control: socket.socket, folder: list[str], *, wait: bool
) -> None:
    """Closing the socket has the supervisor clean up and end; one that does not is killed."""
    control.close()
    if wait:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP)
    with suppress(OSError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    for path in folder:
        shutil.rmtree(path, ignore_errors=True)
