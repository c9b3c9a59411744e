"""The sandbox worker for `command`, which becomes the program that judges an answer.

Requests: `{"check", "answer"}`, answered by the exit code of this process, and `{"check"}`,
answered by `{"fault": TEXT or null}`.
"""

import os
import shutil
from pathlib import Path
from typing import Any, NoReturn

from skillpm.checks.command import CommandCheck
from skillpm.checks.kinds import parse_check
from skillpm.sandbox.readable_paths import PROGRAM_PATH
from skillpm.sandbox.worker import Handler

_ANSWER = "answer.txt"
_PATH = os.pathsep.join(PROGRAM_PATH)
_HANDLES = 64
"""The largest number of open files of a worker."""


def worker() -> Handler:
    """A handler that starts programs."""
    return _answer


def _answer(request: dict[str, Any]) -> dict[str, Any]:
    check = parse_check(request["check"])
    if not isinstance(check, CommandCheck):
        raise TypeError(check.kind)
    if "answer" in request:
        _become(check, request["answer"])
    return {"fault": _fault(check)}


def _fault(check: CommandCheck) -> str | None:
    name = check.arguments[0]
    found = shutil.which(name, path=_PATH)
    return None if found else f"there is no program {name!r} in {_PATH}"


def _become(check: CommandCheck, answer: str) -> NoReturn:
    """Replace this process by the program. Raises `OSError` if it cannot be started."""
    path = shutil.which(check.arguments[0], path=_PATH)
    if path is None:
        raise FileNotFoundError(_fault(check))
    Path(_ANSWER).write_text(answer, encoding="utf-8")
    os.dup2(os.open(_ANSWER, os.O_RDONLY), 0)
    for handle in range(3, _HANDLES):
        # While these are open, the parent waits for this process.
        try:
            os.set_inheritable(handle, True)
        except OSError:
            continue
    environment = {"PATH": _PATH, "LANG": "C.UTF-8", "HOME": str(Path.cwd())}
    os.execve(path, check.arguments, environment)  # noqa: S606 - no shell
