"""Runs a program and its tests. Runs in the sandbox, in a process of its own for each answer."""

import traceback
from typing import Any

from skillpm.checks.answers import code_of
from skillpm.checks.check import PASSED, Verdict, failed
from skillpm.checks.python_tests import PythonCheck

_PROGRAM, _TESTS = "<answer>", "<tests>"


class PythonExaminer:
    """Judges programs by a check's tests."""

    def __init__(self, check: PythonCheck) -> None:
        self._tests = check.tests

    def fault(self) -> str | None:
        """Why Python cannot compile the tests."""
        return _run(self._tests, _TESTS, {}, only_compile=True)

    def verdict(self, answer: str) -> Verdict:
        """Run the answer's code, then the tests in its namespace. Any exception fails."""
        namespace: dict[str, Any] = {"__name__": "answer"}
        for text, name in ((code_of(answer), _PROGRAM), (self._tests, _TESTS)):
            problem = _run(text, name, namespace)
            if problem is not None:
                return failed(problem)
        return PASSED


def _run(
    text: str, name: str, namespace: dict[str, Any], *, only_compile: bool = False
) -> str | None:
    """Run statements. Returns how they failed, with the number of the line."""
    try:
        code = compile(text, name, "exec", dont_inherit=True)
        if not only_compile:
            exec(code, namespace)  # noqa: S102 - in the sandbox
    except MemoryError:
        raise
    except BaseException as problem:  # noqa: BLE001 - a program may raise SystemExit
        lines = [
            frame.lineno for frame in traceback.extract_tb(problem.__traceback__)
            if frame.filename == name
        ]  # fmt: skip
        place = f" in line {lines[0]}" if lines else ""
        what = "the answer" if name == _PROGRAM else "a test"
        return f"{what} failed{place}: {type(problem).__name__}: {problem}"
    return None
