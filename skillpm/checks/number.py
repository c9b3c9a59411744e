r"""`number`: the answer's number is this number.

The answer's number is the last one in its last `\boxed{…}`; else the first one after its last
`####` (the mark of GSM8K); else the last one in the answer. A number is written with the digits of
any script, a decimal point, an optional sign, and optionally

- groups of exactly three digits, separated by a comma, an apostrophe, an underscore, a no-break or
  thin space, or LaTeX's `{,}` or `\,`: `1,234,567.8`;
- an exponent: `1.2e-3`, `1.2 × 10^5`;
- a denominator: `3/4`, `\frac{3}{4}`.

Units, currency signs and per cent signs around it are ignored: `25 %` is 25. A comma before other
than three digits ends a number, so `3,14` is two numbers. Digits after a letter (`m2`), and parts
of a version (`1.2.3`) or a date, are no numbers.
"""

import math
import re
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from skillpm.checks.check import LocalCheck, Verdict, failed
from skillpm.spec.fields import one_of

_LARGEST = 1e300
_DIGITS = 4000
"""Digits of a whole number that is compared exactly; Python refuses to read much longer ones."""
_TOLERANCE = 1e-6
_SEPARATOR = r"(?:[,'\u2019_\u00a0\u2009\u202f]|\{,\}|\\,)"
_MINUS = "\u2212"
_FRACTION = re.compile(r"\\[dt]?frac\{(\d{1,18})\}\{(\d{1,18})\}")
_NUMBER = re.compile(
    rf"""
    (?<![^\W_]) (?<!\d\.) (?<!\d/)                        # not within a word, version or date
    (?: (?<!\)) (?P<sign> [-+{_MINUS}]) )?+
    (?: [$€£¥] [ ]? )?+
    (?P<digits>
        \d{{1,3}} (?P<group> {_SEPARATOR}) \d{{3}} (?: (?P=group) \d{{3}} )*+ (?!\d)
        | \d++
        | (?<!\.) (?=\.\d)
    )
    (?P<decimals> \.\d++ )?+
    (?: [eE] (?P<exponent> [-+{_MINUS}]? \d{{1,4}}) (?!\w)
        | \s? (?: [×x*·] | \\times | \\cdot ) \s? 10 \s? (?: \^ | \*\* ) \s? \{{?
          (?P<power> [-+{_MINUS}]? \d{{1,3}}) \}}? )?+
    (?: \s? [/\u2044\u2215] \s? (?P<denominator> \d{{1,18}}+) (?! [\d/.] ) )?+
    """,
    re.VERBOSE,
)


def _moderate(value: float) -> float:
    if abs(value) > _LARGEST:
        raise ValueError(f"expected a number from -{_LARGEST:g} to {_LARGEST:g}")
    return value


class NumberCheck(LocalCheck):
    """A number. A whole number is compared exactly, any other to a relative 1e-6 by default."""

    kind: ClassVar[str] = "number"
    short: ClassVar[str | None] = "value"

    value_: Annotated[int | float, one_of("a number", int, float), AfterValidator(_moderate)] = (
        Field(alias="value")
    )
    tolerance: Annotated[float | None, Field(strict=False, ge=0, le=1)] = None
    """The allowed difference, as a share of the number."""

    def judge(self, answer: str) -> Verdict:
        """Compare the answer's number with the expected one."""
        found = number_of(answer)
        if found is None:
            return failed("the answer has no number")
        return Verdict.of(self._is_close(found), f"expected {self.value_}, found {found}")

    def _is_close(self, found: float) -> bool:
        expected = self.value_
        is_whole = float(expected).is_integer()
        tolerance = (0.0 if is_whole else _TOLERANCE) if self.tolerance is None else self.tolerance
        if not tolerance:
            return found == expected
        try:
            return math.isclose(found, expected, rel_tol=tolerance)
        except OverflowError:  # a whole number beyond the range of floats
            return False


def number_of(answer: str) -> int | float | None:
    """The answer's number, as the module describes; None if it has none. Linear in the answer."""
    text = _FRACTION.sub(_plain_fraction, answer)
    boxed, marked = text.rfind("\\boxed{"), text.rfind("####")
    if boxed >= 0:
        end = text.find("\n", boxed)
        numbers = _numbers(_braced(text[boxed + 7 : end if end >= 0 else None]))
        if numbers:
            return numbers[-1]
    if marked >= 0:
        numbers = _numbers(text[marked:])
        if numbers:
            return numbers[0]
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


def _plain_fraction(match: "re.Match[str]") -> str:
    r"""`\frac{3}{4}` as `3/4`, apart from a digit or a letter before it."""
    before = match.string[: match.start()][-1:]
    return f"{' ' if before.isalnum() else ''}{match[1]}/{match[2]}"


def _braced(text: str) -> str:
    """The text up to the brace that closes it; all of it if none does."""
    depth = 1
    for position, character in enumerate(text):
        depth += {"{": 1, "}": -1}.get(character, 0)
        if not depth:
            return text[:position]
    return text


def _numbers(text: str) -> list[int | float]:
    return [_value(match) for match in _NUMBER.finditer(text)]


def _value(match: "re.Match[str]") -> int | float:
    sign = -1 if match["sign"] in ("-", _MINUS) else 1
    digits = re.sub(r"\D", "", match["digits"]) or "0"
    exponent = (match["exponent"] or match["power"] or "").replace(_MINUS, "-")
    denominator = int(match["denominator"] or 1) or 1
    is_whole = not match["decimals"] and not exponent and len(digits) <= _DIGITS
    if is_whole and denominator == 1:
        return sign * int(digits)
    number = float(f"{digits}{match['decimals'] or ''}e{exponent or 0}")
    return sign * number / denominator
