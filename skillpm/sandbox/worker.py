"""The worker: confined, it answers requests of the parent until there are none.

The first line holds the files of the session and is read before the confinement,
by skillpm's own code.
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
"""A request answered; the parent gets the first line of an error."""
SIGNALLED = 128
"""Added to the number of the signal that ended a worker, as shells do."""


@dataclass(frozen=True)
class WorkerSession:
    """What the supervisor hands to the process of one session."""

    policy: SandboxPolicy
    readable: list[str]
    folder: Path
    control: int
    """The socket to the parent; closed before the first request."""
    life: int = -1
    """An end of a pipe whose closing lets the supervisor know that the worker has ended."""

    def run(self, pipes: list[int]) -> None:
        """Put the pipes in place of the standard files, confine this process, and answer."""
        for place, pipe in enumerate(pipes):
            os.dup2(pipe, place)
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
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
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
    """Wait for the worker, and say how it ended in the way of shells."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return SIGNALLED - code if code < 0 else code


def _answer(requests: BinaryIO, answers: int, handler: Handler, limit: int) -> None:
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    for line in requests:
        try:
            answer: dict[str, Any] = {"answer": handler(json.loads(line))}
        except MemoryError:
            answer = {"error": "it needs more memory than the sandbox has", "kind": "memory"}
        except BaseException as problem:  # noqa: BLE001 - a panic in Rust is no Exception
            answer = {"error": first_line(problem), "kind": "refused"}
        data = dump_line(answer)
        if len(data) > limit:
            data = dump_line({"error": f"its answer has {len(data)} bytes", "kind": "output"})
        while data:
            data = data[os.write(answers, data) :]
