"""The JSON documents of `run`."""

from typing import NotRequired, TypedDict


class AnswerDocument(TypedDict):
    """The answer of a skill; `skill` is null for the base, `reason` without the router's choice."""

    skill: str | None
    text: str
    seconds: float
    tokens: int
    cut_off: bool
    score: float | None
    reason: str | None


class RunDocument(AnswerDocument):
    """The router's answer, or that of the named skill; with `--compare`, all of them too."""

    answers: NotRequired[list[AnswerDocument]]
