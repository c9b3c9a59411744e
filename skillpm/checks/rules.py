"""`rules`: length, words, lines and case of the answer."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from skillpm.checks.answers import plain_text
from skillpm.checks.check import PASSED, LocalCheck, Verdict, failed
from skillpm.spec.fields import empty_list

Count = Annotated[int, Field(ge=0, le=1 << 16)]
Part = Annotated[str, Field(min_length=1, max_length=1000)]
_COUNTED = ("words", "chars", "lines")


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


Parts = Annotated[list[Part], BeforeValidator(_listed), Field(max_length=100)]


class RulesCheck(LocalCheck):
    """Rules that all hold for the answer, without the white space around it, in form NFC.

    Words are separated by white space. In `title` case, the first letter of every word is a capital
    letter. `starts_with`, `ends_with`, `contains` and `excludes` distinguish case; of several
    beginnings or ends, one is enough.
    """

    kind: ClassVar[str] = "rules"

    words: Count | None = None
    min_words: Count | None = None
    max_words: Count | None = None
    chars: Count | None = None
    min_chars: Count | None = None
    max_chars: Count | None = None
    lines: Count | None = None
    min_lines: Count | None = None
    max_lines: Count | None = None
    case: Literal["lower", "upper", "title"] | None = None
    starts_with: Parts = Field(default_factory=empty_list)
    ends_with: Parts = Field(default_factory=empty_list)
    contains: Parts = Field(default_factory=empty_list)
    excludes: Parts = Field(default_factory=empty_list)

    @model_validator(mode="after")
    def _satisfiable(self) -> "RulesCheck":
        if not self.value():
            raise ValueError(f"expected at least one rule: {', '.join(type(self).model_fields)}")
        for noun in _COUNTED:
            low, high = getattr(self, f"min_{noun}"), getattr(self, f"max_{noun}")
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{noun} {low} is more than max_{noun} {high}")
        return self

    def value(self) -> Any:
        """The rules that are set."""
        return {name: rule for name, rule in self.to_dict().items() if rule not in (None, [])}

    def judge(self, answer: str) -> Verdict:
        """Test all rules; the reason is the first that does not hold."""
        text = plain_text(answer)
        problem = next(self._problems(text), None)
        return PASSED if problem is None else failed(problem)

    def _problems(self, text: str) -> Iterator[str]:
        counts = (len(text.split()), len(text), len(text.splitlines()))
        for noun, count in zip(_COUNTED, counts, strict=True):
            yield from self._count_problems(noun, count)
        if self.case and not _has_case(text, self.case):
            yield f"the answer is not in {self.case} case"
        if self.starts_with and not text.startswith(tuple(self.starts_with)):
            yield f"the answer starts with none of {self.starts_with}"
        if self.ends_with and not text.endswith(tuple(self.ends_with)):
            yield f"the answer ends with none of {self.ends_with}"
        yield from (f"the answer lacks {part!r}" for part in self.contains if part not in text)
        yield from (f"the answer contains {part!r}" for part in self.excludes if part in text)

    def _count_problems(self, noun: str, count: int) -> Iterator[str]:
        exact, low, high = (getattr(self, f"{prefix}{noun}") for prefix in ("", "min_", "max_"))
        if exact is not None and count != exact:
            yield f"expected {exact} {noun}, found {count}"
        if low is not None and count < low:
            yield f"expected at least {low} {noun}, found {count}"
        if high is not None and count > high:
            yield f"expected at most {high} {noun}, found {count}"


def _has_case(text: str, case: str) -> bool:
    if case == "title":
        letters = (next(filter(str.isalpha, word), "") for word in text.split())
        return all(letter == letter.upper() or letter.istitle() for letter in letters)
    return text == (text.lower() if case == "lower" else text.upper())
