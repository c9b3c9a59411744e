"""`command`: a program judges the answer, by its exit code.

The program is an installed one, `grep` or `/usr/bin/jq`. It runs in the sandbox in place of the
worker, with the answer as its standard input and in the file `answer.txt`; it can read none of the
user's files and start no other process. Such a check never travels in a pack, and runs only if the
user allows it. Linux only.
"""

from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from skillpm.checks.check import Check, Place


def _plain(argument: str) -> str:
    if "\0" in argument:
        raise ValueError("expected text without a NUL character")
    return argument


Argument = Annotated[str, Field(max_length=4096), AfterValidator(_plain)]


class CommandCheck(Check):
    """A program and its arguments. The exit code 0 means that the answer is right."""

    kind: ClassVar[str] = "command"
    place: ClassVar[Place] = Place.OWN_SANDBOX
    worker: ClassVar[str | None] = "skillpm.checks.command_worker"
    short: ClassVar[str | None] = "arguments"

    arguments: Annotated[list[Argument], Field(min_length=1, max_length=64)]
