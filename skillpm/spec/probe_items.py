"""The items of probe files, one class for each metric. An item is a JSON line (`spec.probes`)."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from skillpm.spec.chat import Chat, ChatMessage, asked
from skillpm.spec.check_kinds import LOCAL, TRAVELLING
from skillpm.spec.fields import (
    WHOLE,
    Document,
    empty_dict,
    one_of,
)

TEXT_LIMIT = 8192
"""Characters of a text."""
ANSWER_TOKENS = 512
"""Tokens of an answer that a model generates for a judged item."""
TOLERANCE = 0.1
"""The default tolerance: the share of the recorded gain that may be lost."""


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("expected text, found only white space")
    return text


Text = Annotated[str, Field(max_length=TEXT_LIMIT), AfterValidator(_not_blank)]
Short = Annotated[str, Field(max_length=256), AfterValidator(_not_blank)]
Share = Annotated[float, Field(strict=False, ge=0, le=1)]


class ProbesHeader(Document):
    """The optional first line of a probe file: format and tolerances."""

    probes: Annotated[Literal[1], WHOLE]
    tolerance: Share = TOLERANCE
    tolerances: dict[str, Share] = Field(default_factory=empty_dict)


class TokenLossItem(Document):
    """A text. The metric is the loss of the model on its tokens."""

    text: Text


class ExactMatchItem(Document):
    """A prompt, and the exact answer that the model should generate."""

    prompt: Text
    answer: Short


class JudgedItem(Document):
    """A prompt or a chat, and the check of the answer that the model generates to it.

    `check` is `{KIND: VALUE}`. Here only its kind is checked; `skillpm.checks` reads the value.
    """

    prompt: Text | None = None
    messages: Chat | None = None
    check: Annotated[dict[str, Any], Field(min_length=1, max_length=1)]
    max_tokens: Annotated[int, Field(ge=1, le=ANSWER_TOKENS)] = 128

    @field_validator("check")
    @classmethod
    def _travels(cls, check: dict[str, Any]) -> dict[str, Any]:
        (kind,) = check
        kinds = ", ".join(sorted(TRAVELLING))
        if kind in LOCAL:
            raise ValueError(f"checks of the kind {kind} never travel in a pack; expected {kinds}")
        if kind not in TRAVELLING:
            raise ValueError(f"unknown kind of check {kind[:64]!r}; expected one of {kinds}")
        return check

    @model_validator(mode="after")
    def _one_question(self) -> "JudgedItem":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("expected either `prompt` or `messages`")
        if len(self.text) > TEXT_LIMIT:
            raise ValueError(f"expected at most {TEXT_LIMIT} characters in all messages")
        return self

    @property
    def chat(self) -> list[ChatMessage]:
        """The messages; a prompt is one message of the user."""
        return asked(self.prompt or "") if self.messages is None else self.messages

    @property
    def text(self) -> str:
        """The text of all messages."""
        return "\n".join(message.content for message in self.chat)


class MultipleChoiceItem(Document):
    """A question with choices. `answer` is the right choice, or its index."""

    question: Text
    choices: Annotated[list[Short], Field(min_length=2, max_length=32)]
    answer: Annotated[int | str, one_of("a whole number or text", int, str)]

    @property
    def right(self) -> int:
        """The index of the right choice; -1 if `answer` is not one of the choices."""
        if isinstance(self.answer, int):
            return self.answer if 0 <= self.answer < len(self.choices) else -1
        return self.choices.index(self.answer) if self.answer in self.choices else -1


class RetrievalItem(Document):
    """A query and its document. The documents of all items of the file are the candidates."""

    query: Text
    document: Text


class LabelItem(Document):
    """A text and its label."""

    text: Text
    label: Short
