"""The base class of all kinds of checks, and the verdict on an answer."""

from abc import abstractmethod
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Final, Protocol, Self

from skillpm.errors import Problems, capped
from skillpm.spec.fields import Document, collect, unknown_keys

ANSWER_LIMIT = 1 << 16
"""Characters of an answer that a check reads. A longer answer is wrong."""
REASON_LIMIT = 300
"""Characters of a reason, which may quote the answer."""


class Place(StrEnum):
    """Where the work of a check may run."""

    HERE = "here"
    """In this process: the work is linear in the answer."""
    SHARED_SANDBOX = "shared sandbox"
    """In a sandbox that serves one answer after another."""
    OWN_SANDBOX = "own sandbox"
    """In a sandbox of its own for each answer, because the answer is run as a program."""
    MODEL = "model"
    """On a model that the caller loads."""


@dataclass(frozen=True)
class Verdict:
    """Whether an answer passed, and the reason if it did not."""

    passed: bool
    reason: str = ""

    @classmethod
    def of(cls, passed: bool, reason: str) -> "Verdict":  # noqa: FBT001 - the verdict itself
        """A verdict whose reason is dropped if the answer passed.

        Control characters in the reason are escaped, because it may quote the answer.
        """
        return PASSED if passed else cls(False, capped(_printable(reason), REASON_LIMIT))


PASSED: Final = Verdict(True)


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def failed(reason: str) -> Verdict:
    """The verdict on a wrong answer."""
    return Verdict.of(False, reason)


class Examiner(Protocol):
    """The protocol of all kinds: it judges answers by one check."""

    def verdict(self, answer: str) -> Verdict:
        """Judge an answer."""

    def fault(self) -> str | None:
        """The reason why no answer can pass, such as a gold query that fails; None without one."""


class Check(Document):
    """A check: a frozen value whose fields are the value of its kind.

    It is its own examiner if its place is this process. Otherwise, a worker of the sandbox has an
    examiner for its kind.
    """

    kind: ClassVar[str]
    place: ClassVar[Place] = Place.HERE
    worker: ClassVar[str | None] = None
    """The module of the sandbox's worker, for a check that is judged there."""
    short: ClassVar[str | None] = None
    """The field that a value which is no object stands for: `{"equals": "412"}`."""

    @classmethod
    def collect(cls, value: Any, problems: Problems) -> Self | None:
        """Build the check from its value. If it is invalid, add every problem and return None."""
        plain = {cls.short: value} if cls.short and not isinstance(value, dict) else value
        here = Problems("")
        check = collect(cls, plain, here)
        unknown = [] if check is None else unknown_keys(check)
        for problem in here.found:
            problems.add(cls.kind, problem.removeprefix(f"{cls.short}: "))
        problems.extend((f"{cls.kind}.{path}", why) for path, why in unknown)
        return None if here.found or unknown else check

    def value(self) -> Any:
        """The check's value as plain JSON: `{check.kind: check.value()}` parses to the check."""
        return self.to_dict()


class LocalCheck(Check):
    """A check that takes time linear in the answer. It is its own examiner."""

    def verdict(self, answer: str) -> Verdict:
        """Judge an answer; one of more than `ANSWER_LIMIT` characters is wrong."""
        return self.judge(readable(answer)) if len(answer) <= ANSWER_LIMIT else too_long(answer)

    def fault(self) -> str | None:
        """Without a fault: everything is checked when the value is read."""
        return None

    @abstractmethod
    def judge(self, answer: str) -> Verdict:
        """Judge an answer of at most `ANSWER_LIMIT` characters of valid Unicode."""


def readable(answer: str) -> str:
    """The answer, with `?` for surrogates, which no encoder accepts."""
    return answer.encode(errors="replace").decode()


def too_long(answer: str) -> Verdict:
    """The verdict on an answer that is too long to be read."""
    return failed(f"the answer has {len(answer)} characters; the limit is {ANSWER_LIMIT}")
