"""`python`: the answer is a Python program with which tests pass.

The program and the tests run in one process of the sandbox, a new one for each answer. Such a check
never travels in a pack, and runs only if the user allows it. The sandbox protects the user from the
program; it cannot protect the verdict from a program that is written to pass.
"""

from typing import Annotated, ClassVar

from pydantic import Field

from skillpm.checks.check import Check, Place


class PythonCheck(Check):
    """Tests as Python statements, which use what the answer defines: `assert double(2) == 4`."""

    kind: ClassVar[str] = "python"
    place: ClassVar[Place] = Place.OWN_SANDBOX
    worker: ClassVar[str | None] = "skillpm.checks.worker"
    short: ClassVar[str | None] = "tests"

    tests: Annotated[str, Field(max_length=1 << 16, pattern=r"\S")]
