"""Files of prompts: `{"id", "prompt" or "messages", "check", "tags"}` in each line.

Keep prompts have no `check`: the base answers them itself.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any

from pydantic import AfterValidator, Field, model_validator

from skillpm.checks.check import Check
from skillpm.checks.kinds import collect_check
from skillpm.errors import Problems
from skillpm.spec.chat import CONTENT_LIMIT, Chat, ChatMessage, asked
from skillpm.spec.fields import Document, empty_list
from skillpm.transfer.lines import LineFormat, read_lines

PROMPT_LIMIT = 200_000
"""Prompts of a file."""
_ID_LIMIT, _TAG_LIMIT = 200, 64
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def _name(text: str, limit: int) -> str:
    if not 1 <= len(text) <= limit or _CONTROL.search(text):
        raise ValueError(f"expected 1 to {limit} characters, none of them a control character")
    return text


Id = Annotated[str, AfterValidator(partial(_name, limit=_ID_LIMIT))]
Tag = Annotated[str, AfterValidator(partial(_name, limit=_TAG_LIMIT))]


class PromptLine(Document):
    """A line of a prompt file. Either `prompt` or `messages` is set."""

    id: Id
    prompt: Annotated[str | None, Field(max_length=CONTENT_LIMIT, pattern=r"\S")] = None
    messages: Chat | None = None
    check: Any = None
    tags: Annotated[list[Tag], Field(max_length=32)] = Field(default_factory=empty_list)

    @model_validator(mode="after")
    def _one_question(self) -> "PromptLine":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("expected either `prompt` or `messages`")
        return self


@dataclass(frozen=True)
class Prompt:
    """A prompt with the check of its answers; a keep prompt has none."""

    id: str
    messages: tuple[ChatMessage, ...]
    check: Check | None
    tags: tuple[str, ...] = ()


_PROMPTS = LineFormat(
    PromptLine,
    PROMPT_LIMIT,
    'a prompt is a line like {"id": "1", "prompt": "What is 12 × 12?", "check": {"number": 144}}',
)
_KEEP = LineFormat(
    PromptLine, PROMPT_LIMIT, 'a keep prompt is a line like {"id": "1", "prompt": "Who are you?"}'
)


def parse_prompts(data: bytes, what: str = "the prompt file") -> tuple[Prompt, ...]:
    """Read a file of prompts with checks. Raises `SpecError` with every problem and its line."""
    checks: dict[str, Check] = {}

    def check_line(line: PromptLine, problems: Problems) -> None:
        if line.check is None:
            problems.add("", "no `check`; only keep prompts have none")
            return
        here = Problems("")
        check = collect_check(line.check, here)
        problems.extend(("check", problem) for problem in here.found)
        if check is not None:
            checks.setdefault(line.id, check)

    lines = read_lines(data, what, _PROMPTS, check_line)
    _refuse_duplicates(lines, what)
    return tuple(_prompt(line, checks[line.id]) for _, line in lines)


def parse_keep_prompts(data: bytes, what: str = "the file of keep prompts") -> tuple[Prompt, ...]:
    """Read a file of prompts without checks. Raises `SpecError` as `parse_prompts` does."""

    def check_line(line: PromptLine, problems: Problems) -> None:
        if line.check is not None:
            problems.add("check", "a keep prompt has no check: the base answers it itself")

    lines = read_lines(data, what, _KEEP, check_line)
    _refuse_duplicates(lines, what)
    return tuple(_prompt(line, None) for _, line in lines)


def _prompt(line: PromptLine, check: Check | None) -> Prompt:
    messages = line.messages if line.prompt is None else asked(line.prompt)
    return Prompt(line.id, tuple(messages or ()), check, tuple(line.tags))


def _refuse_duplicates(lines: Sequence[tuple[int, PromptLine]], what: str) -> None:
    problems, first = Problems(what), dict[str, int]()
    for number, line in lines:
        if first.setdefault(line.id, number) != number:
            problems.add(
                f"line {number}", f"duplicate id {line.id!r}, first in line {first[line.id]}"
            )
    problems.raise_if_any(hint="give every prompt an id of its own")
