"""The worker: a confined process that answers requests until its standard input ends.

The first line contains the files of the session. Trusted code reads it before the confinement.
"""

import base64
import json
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from skillpm.sandbox.confine import Confinement
from skillpm.sandbox.layers.environment import close_files
from skillpm.sandbox.layers.privileges import end_with_parent
from skillpm.sandbox.messages import dump_line, first_line
from skillpm.sandbox.policy import SandboxPolicy
from skillpm.sandbox.report import SandboxLayer

Handler = Callable[[dict[str, Any]], dict[str, Any]]
"""A function from a request to its answer. The parent gets the first line of an error."""
SIGNALLED = 128
"""Added to a signal's number in the exit code of a process that a signal ended, as in shells."""


@dataclass(frozen=True)
class WorkerSession:
    """The data that the supervisor passes to the process of one session."""

    policy: SandboxPolicy
    readable: list[str]
    folder: Path
    control: int
    """The descriptor of the socket to the parent; closed before the first request."""
    life: int = -1
    """The write end of a pipe. It closes when the worker ends, which notifies the supervisor."""

    def run(self, pipes: list[int]) -> None:
        """Use the pipes as standard input, output and error, confine this process, and answer."""
        for descriptor, pipe in enumerate(pipes):
            os.dup2(pipe, descriptor)
        confinement = Confinement(self.policy, self.readable)
        confinement.separate()
        if sys.platform == "linux":
            end_with_parent()
        if confinement.is_on(SandboxLayer.PID_NAMESPACE):
            child = os.fork()
            if child:
                os._exit(_exit_code(child))
            if self.life >= 0:
                os.close(self.life)
        self._serve(confinement)

    def _serve(self, confinement: Confinement) -> None:
        requests = os.fdopen(0, "rb", closefd=False)
        answers = os.dup(1)
        discard = os.open(os.devnull, os.O_WRONLY)
        os.dup2(discard, 1)
        first = json.loads(requests.readline())
        files = {name: base64.b64decode(text) for name, text in first["files"].items()}
        close_files(keep=frozenset({self.control, answers, self.life}))
        confinement.enclose(self.folder, files)
        module = sys.modules[self.policy.module]
        handler: Handler = module.worker()
        layers = confinement.report.to_dict()["layers"]
        os.write(self.control, dump_line({"ready": layers}))
        os.close(self.control)
        _answer(requests, answers, handler, self.policy.limits.answer_bytes)


def _exit_code(child: int) -> int:
    """Wait for the worker and return its exit code, as a shell reports it."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return SIGNALLED - code if code < 0 else code


def _answer(requests: BinaryIO, answers: int, handler: Handler, limit: int) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for line in requests:
        try:
            answer: dict[str, Any] = {"answer": handler(json.loads(line))}
        except MemoryError:
            answer = {"error": "it needs more memory than the sandbox has", "kind": "memory"}
        except BaseException as problem:  # noqa: BLE001 - a panic in Rust is not an Exception
            answer = {"error": first_line(problem), "kind": "refused"}
        data = dump_line(answer)
        if len(data) > limit:
            data = dump_line({"error": f"its answer has {len(data)} bytes", "kind": "output"})
        while data:
            data = data[os.write(answers, data) :]
