"""Answers of a source: files that a user brings, and the log of answers that `transfer` records."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import Field

from skillpm.checks.check import ANSWER_LIMIT
from skillpm.errors import IntegrityError, Problems, SpecError
from skillpm.spec import json
from skillpm.spec.fields import Document, collect
from skillpm.transfer.lines import LineFormat, read_lines
from skillpm.transfer.prompts import Id

ANSWERS_LIMIT = 2_000_000
"""Answers of a file."""
RECORDED_LIMIT = 1 << 20
"""Characters of a recorded answer. One that is longer than `ANSWER_LIMIT` is wrong."""
CUT_OFF = "length"
"""The value of `finish` of an answer that `max_tokens` cut off."""
DRAWS_LIMIT = 64
"""Answers to one prompt."""


class AnswerLine(Document):
    """A line of a file of answers. Other keys are ignored.

    `finish` is `length` in recorded answers that were cut off, which are left out.
    """

    id: Id
    text: Annotated[str, Field(max_length=ANSWER_LIMIT)]
    finish: Any = None


_ANSWERS = LineFormat(
    AnswerLine, ANSWERS_LIMIT, 'an answer is a line like {"id": "1", "text": "144"}', exact=False
)


def parse_answers(data: bytes, what: str = "the file of answers") -> Mapping[str, tuple[str, ...]]:
    """Read a source's answers by the id of their prompt; several lines of an id are its draws.

    Raises `SpecError` with every problem and its line.
    """
    answers: dict[str, list[str]] = {}
    problems = Problems(what)
    for number, line in read_lines(data, what, _ANSWERS):
        if line.finish == CUT_OFF:
            continue
        draws = answers.setdefault(line.id, [])
        draws.append(line.text)
        if len(draws) == DRAWS_LIMIT + 1:
            problems.add(f"line {number}", f"more than {DRAWS_LIMIT} answers to {line.id!r}")
    problems.raise_if_any()
    return {prompt: tuple(draws) for prompt, draws in answers.items()}


class RecordedAnswer(Document):
    """An answer that `transfer` has received. `tokens` is the number of generated tokens."""

    key: Annotated[str, Field(min_length=1, max_length=200)]
    """The digest of everything that the answer depends on, except prompt and draw."""
    id: Id
    draw: Annotated[int, Field(ge=0, lt=DRAWS_LIMIT)]
    text: Annotated[str, Field(max_length=RECORDED_LIMIT)]
    finish: Annotated[str, Field(pattern=r"^[a-z_]{1,32}$")]
    """Why the source stopped: `stop`, or `length` for an answer that was cut off."""
    tokens: Annotated[int, Field(ge=0)]

    def to_line(self) -> bytes:
        """The answer as a line of the log."""
        return json.canonical(self.to_dict()) + b"\n"


@dataclass(frozen=True)
class AnswerLog:
    """The complete lines of a log. The rest of the file, from byte `length` on, is torn."""

    answers: tuple[RecordedAnswer, ...]
    length: int


def read_answer_log(data: bytes, what: str) -> AnswerLog:
    """Read a log of recorded answers.

    A kill or a full disk can tear the line that is being appended. So an end without a line break
    is left out, and the next append must first cut the file to `length`. Any other damage, and two
    answers for one key, prompt and draw, raise `IntegrityError`.
    """
    length = data.rfind(b"\n") + 1
    answers: dict[tuple[str, str, int], RecordedAnswer] = {}
    for number, line in enumerate(data[:length].split(b"\n")[:-1], start=1):
        answer = _recorded(line, number, what)
        place = (answer.key, answer.id, answer.draw)
        if place in answers:
            raise _damaged(what, number, f"a second answer to {answer.id!r}, draw {answer.draw}")
        answers[place] = answer
    return AnswerLog(tuple(answers.values()), length)


def _recorded(line: bytes, number: int, what: str) -> RecordedAnswer:
    problems = Problems("")
    try:
        answer = collect(RecordedAnswer, json.parse_object(line, "the line"), problems)
    except SpecError as problem:
        raise _damaged(what, number, problem.message) from problem
    if answer is None:
        raise _damaged(what, number, "; ".join(problems.found))
    return answer


def _damaged(what: str, number: int, problem: str) -> IntegrityError:
    return IntegrityError(
        f"{what} is damaged in line {number}: {problem}",
        hint="`skillpm transfer --fresh` asks for all answers again",
    )
