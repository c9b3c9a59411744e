"""One session: requests to one worker, its answers, and how it failed."""

import base64
import json
import os
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, Protocol

from skillpm.sandbox.errors import FailureKind, ForeignWorkError
from skillpm.sandbox.messages import ERROR_LENGTH, dump_line
from skillpm.sandbox.pipes import WorkerPipes
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.report import SandboxReport

_START = 120.0
"""Seconds to hand over the files and to be confined, on a busy machine."""
_SIGNALLED = 128
_OUT_OF_MEMORY = ("memory allocation of", "MemoryError", "Cannot allocate memory", "bad_alloc")
"""What Rust, Python, the C library and C++ print when memory ends."""


class SandboxHost(Protocol):
    """What a session needs of its sandbox."""

    policy: SandboxPolicy

    def send_pipes(self, pipes: list[int]) -> None:
        """Ask for a worker with these standard files."""

    def next_message(self, seconds: float = ...) -> dict[str, Any]:
        """The next message of the supervisor."""

    def end_session(self) -> dict[str, Any]:
        """Kill the worker, and say how it ended."""


@dataclass
class SandboxSession:
    """A worker that is confined and waits for requests."""

    host: SandboxHost
    pipes: WorkerPipes
    report: SandboxReport
    left: float
    """Seconds of the session that are left."""

    @classmethod
    def start(
        cls, host: SandboxHost, files: Mapping[str, bytes], seconds: float
    ) -> "SandboxSession":
        """Start a worker with these files. Raises `ForeignWorkError`."""
        request = _request(host, {"files": _encoded(files)})
        pipes, theirs = WorkerPipes.open(host.policy.limits.answer_bytes)
        try:
            host.send_pipes(theirs)
        finally:
            for handle in theirs:
                os.close(handle)
        pipes.send_all(request, time.monotonic() + _START)
        ready = host.next_message(_START)
        if "ready" not in ready:
            pipes.close()
            reason = ready.get("broken", "it ended before it was confined")
            raise ForeignWorkError(
                FailureKind.NOT_STARTED, f"the sandbox cannot be started: {reason}"
            )
        return cls(host, pipes, SandboxReport.from_layers(ready["ready"]), seconds)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a request, within the time that the session has left.

        An error of the foreign work is raised as the work gave it, and the session goes on; where
        there is no answer the worker is killed. Raises `ForeignWorkError` in both cases.
        """
        data = _request(self.host, request)
        if not self.pipes.is_open:
            raise ForeignWorkError(FailureKind.CRASHED, "its process has ended")
        started = time.monotonic()
        try:
            message = _parsed(self.pipes.exchange(data, started + self.left))
        except ForeignWorkError:
            self._end()
            raise
        except EOFError:
            raise self._ended() from None
        finally:
            self.left -= time.monotonic() - started
        answer = message.get("answer")
        if isinstance(answer, dict):
            return answer
        error, kind = message.get("error"), message.get("kind")
        if isinstance(error, str) and isinstance(kind, str) and kind in set(FailureKind):
            raise ForeignWorkError(FailureKind(kind), _printable(error[:ERROR_LENGTH]))
        self._end()
        raise ForeignWorkError(FailureKind.OUTPUT, "it answered something that is no answer")

    def _end(self) -> dict[str, Any]:
        ended = self.host.end_session()
        self.pipes.close()
        return ended

    def _ended(self) -> ForeignWorkError:
        """The worker closed its answers: by itself, or because the kernel stopped it."""
        printed = self.pipes.drain_printed()
        ended = self._end()
        code = int(ended.get("ended", 0))
        if ended.get("over"):
            return ForeignWorkError(FailureKind.FOLDER, "it filled its folder")
        if any(sign in printed for sign in _OUT_OF_MEMORY):
            return ForeignWorkError(FailureKind.MEMORY, "it needs more memory than the sandbox has")
        if code == _SIGNALLED + signal.SIGXCPU:
            return ForeignWorkError(FailureKind.TIME, "it took more processor time than it has")
        return ForeignWorkError(FailureKind.CRASHED, f"its process {_how(code)}")


def _request(host: SandboxHost, request: Mapping[str, Any]) -> bytes:
    data = dump_line(dict(request))
    if len(data) > host.policy.limits.request_bytes:
        raise ForeignWorkError(FailureKind.OUTPUT, f"the request has {len(data)} bytes")
    return data


def _encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    """Files for JSON. Raises `ForeignWorkError` for a name that is not of the folder itself."""
    for name in files:
        if not name or PurePath(name).name != name or "\0" in name or name == "..":
            raise ForeignWorkError(FailureKind.NOT_STARTED, f"{name!r} is no plain file name")
    return {name: base64.b64encode(data).decode() for name, data in files.items()}


def _printable(text: str) -> str:
    """A stranger's text without what would steer a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _parsed(line: bytes) -> dict[str, Any]:
    """A line of a stranger as an object; an empty one if it is anything else."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _how(code: int) -> str:
    """How a process ended, from the exit code of a shell."""
    with suppress(ValueError):
        if code > _SIGNALLED:
            return f"was ended by {signal.Signals(code - _SIGNALLED).name}"
    return f"ended with exit code {code}"
