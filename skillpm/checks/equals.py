"""`equals`: the answer is this text."""

from typing import Annotated, ClassVar

from pydantic import Field

from skillpm.checks.answers import plain_text
from skillpm.checks.check import LocalCheck, Verdict

_SHOWN = 60


class EqualsCheck(LocalCheck):
    """Text that the answer equals: in Unicode's form NFC, with white space as single spaces."""

    kind: ClassVar[str] = "equals"
    short: ClassVar[str | None] = "text"

    text: Annotated[str, Field(max_length=8192, pattern=r"\S")]
    ignore_case: bool = False

    def judge(self, answer: str) -> Verdict:
        """Compare the whole answer with the text."""
        found, expected = self._folded(answer), self._folded(self.text)
        return Verdict.of(
            found == expected, f"expected {expected[:_SHOWN]!r}, found {found[:_SHOWN]!r}"
        )

    def _folded(self, text: str) -> str:
        words = " ".join(plain_text(text).split())
        return words.casefold() if self.ignore_case else words
