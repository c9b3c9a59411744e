"""The items of probe files, by metric: one JSON line each (see `spec.probes`)."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from skillpm.spec.fields import WHOLE, Document

TEXT_LIMIT = 8192
"""Characters of one text."""
TOLERANCE = 0.1
"""The share of the recorded gain that may be lost where a file does not say."""


def _spoken(text: str) -> str:
    if not text.strip():
        raise ValueError("it is blank")
    return text


Text = Annotated[str, Field(max_length=TEXT_LIMIT), AfterValidator(_spoken)]
Short = Annotated[str, Field(max_length=256), AfterValidator(_spoken)]
Share = Annotated[float, Field(strict=False, ge=0, le=1)]


class ProbesHeader(Document):
    """The optional first line: the format, and the tolerances."""

    probes: Annotated[Literal[1], WHOLE]
    tolerance: Share = TOLERANCE
    tolerances: dict[str, Share] = Field(default_factory=dict)


class TokenLossItem(Document):
    """A text whose tokens the model is to foresee."""

    text: Text


class ExactMatchItem(Document):
    """A prompt, and exactly what is to follow it."""

    prompt: Text
    answer: Short


class MultipleChoiceItem(Document):
    """A question and the answers to choose from; `answer` is the right one, or its number."""

    question: Text
    choices: Annotated[list[Short], Field(min_length=2, max_length=32)]
    answer: int | str

    @property
    def right(self) -> int:
        """The place of the right answer; -1 where it is none of the choices."""
        if isinstance(self.answer, int):
            return self.answer if 0 <= self.answer < len(self.choices) else -1
        return self.choices.index(self.answer) if self.answer in self.choices else -1


class RetrievalItem(Document):
    """A query, and the document that answers it; the others' documents are the other candidates."""

    query: Text
    document: Text


class LabelItem(Document):
    """A text and its label."""

    text: Text
    label: Short
