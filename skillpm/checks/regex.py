"""`regex`: a regular expression in RE2's syntax matches the answer."""

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator

from skillpm.checks.check import LocalCheck, Verdict
from skillpm.checks.patterns import compile_linear
from skillpm.errors import SpecError


def _compilable(pattern: str) -> str:
    try:
        compile_linear(pattern)
    except SpecError as problem:
        raise ValueError(problem.message) from problem
    return pattern


class RegexCheck(LocalCheck):
    """A pattern that occurs in the answer, or with `"match": "full"` matches all of it.

    White space around the answer is ignored. Flags stand in the pattern: `(?i)`, `(?s)`, `(?m)`.
    """

    kind: ClassVar[str] = "regex"
    short: ClassVar[str | None] = "pattern"

    pattern: Annotated[str, AfterValidator(_compilable)]
    match: Literal["search", "full"] = "search"

    def judge(self, answer: str) -> Verdict:
        """Match the pattern in time linear in the answer."""
        compiled, text = compile_linear(self.pattern), answer.strip()
        found = compiled.fullmatch(text) if self.match == "full" else compiled.search(text)
        return Verdict.of(found is not None, f"{self.pattern!r} does not match the answer")
