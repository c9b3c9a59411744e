"""A session: requests to one worker, its answers and its failures."""

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
"""Seconds for sending the files and applying the layers, on a busy machine."""
_SIGNALLED = 128
"""Added to a signal's number in the exit code of a process that a signal ended."""
_OUT_OF_MEMORY = ("memory allocation of", "MemoryError", "Cannot allocate memory", "bad_alloc")
"""Texts that Rust, Python, the C library and C++ print if memory is exhausted."""


class SandboxHost(Protocol):
    """The interface that a session uses of its sandbox."""

    policy: SandboxPolicy

    def send_pipes(self, pipes: list[int]) -> None:
        """Request a worker with these pipes as standard input, output and error."""

    def next_message(self, seconds: float = ...) -> dict[str, Any]:
        """The next message of the supervisor."""

    def end_session(self) -> dict[str, Any]:
        """Kill the worker. Returns a message on how it ended."""


@dataclass
class SandboxSession:
    """A confined worker that waits for requests."""

    host: SandboxHost
    pipes: WorkerPipes
    report: SandboxReport
    left: float
    """The remaining time for requests, in seconds."""

    @classmethod
    def start(
        cls, host: SandboxHost, files: Mapping[str, bytes], seconds: float
    ) -> "SandboxSession":
        """Start a worker with these files. Raises `ForeignWorkError`."""
        request = _request(host, {"files": _encoded(files)})
        pipes, worker_ends = WorkerPipes.open(host.policy.limits.answer_bytes)
        try:
            host.send_pipes(worker_ends)
        finally:
            for handle in worker_ends:
                os.close(handle)
        pipes.send_all(request, time.monotonic() + _START)
        ready = host.next_message(_START)
        if "ready" not in ready:
            pipes.close()
            reason = ready.get("broken", "the worker ended before it was confined")
            raise ForeignWorkError(
                FailureKind.NOT_STARTED, f"the sandbox cannot be started: {reason}"
            )
        return cls(host, pipes, SandboxReport.from_layers(ready["ready"]), seconds)

    def ask(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request and return its answer, within the remaining time of the session.

        Raises `ForeignWorkError`. After the kind `REFUSED` the session can be used again: the code
        in the worker raised an error. After most other kinds the worker has been killed.
        """
        data = _request(self.host, request)
        if not self.pipes.is_open:
            raise ForeignWorkError(FailureKind.CRASHED, "its process has ended")
        started = time.monotonic()
        try:
            message = _parse(self.pipes.exchange(data, started + self.left))
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
        raise ForeignWorkError(FailureKind.OUTPUT, "its answer is malformed")

    def _end(self) -> dict[str, Any]:
        ended = self.host.end_session()
        self.pipes.close()
        return ended

    def _ended(self) -> ForeignWorkError:
        """The error for a worker that has ended by itself, or that the kernel has stopped."""
        printed = self.pipes.drain_printed()
        ended = self._end()
        code = int(ended.get("ended", 0))
        if ended.get("over"):
            return ForeignWorkError(FailureKind.FOLDER, "it filled its folder")
        if any(text in printed for text in _OUT_OF_MEMORY):
            return ForeignWorkError(FailureKind.MEMORY, "it needs more memory than the sandbox has")
        if code == _SIGNALLED + signal.SIGXCPU:
            return ForeignWorkError(FailureKind.TIME, "it took more processor time than it has")
        text = f"its process {_describe_exit(code)}"
        return ForeignWorkError(FailureKind.CRASHED, text, exit_code=code if ended else None)


def _request(host: SandboxHost, request: Mapping[str, Any]) -> bytes:
    data = dump_line(dict(request))
    if len(data) > host.policy.limits.request_bytes:
        raise ForeignWorkError(FailureKind.OUTPUT, f"the request has {len(data)} bytes")
    return data


def _encoded(files: Mapping[str, bytes]) -> dict[str, str]:
    """The files in base64. Raises `ForeignWorkError` for a name that is not plain."""
    for name in files:
        if not name or PurePath(name).name != name or "\0" in name or name == "..":
            raise ForeignWorkError(FailureKind.NOT_STARTED, f"{name!r} is not a plain file name")
    return {name: base64.b64encode(data).decode() for name, data in files.items()}


def _printable(text: str) -> str:
    """Untrusted text with control characters escaped, so that it cannot control a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _parse(line: bytes) -> dict[str, Any]:
    """Parse an untrusted line as a JSON object; an empty object if it is not one."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return message if isinstance(message, dict) else {}


def _describe_exit(code: int) -> str:
    """Describe how a process ended. The code is that of a shell: 128 + signal, or exit code."""
    with suppress(ValueError):
        if code > _SIGNALLED:
            return f"was ended by {signal.Signals(code - _SIGNALLED).name}"
    return f"ended with exit code {code}"
