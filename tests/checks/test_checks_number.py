"""The number of an answer, in all forms."""

import pytest

from skillpm.checks.check import LocalCheck
from skillpm.checks.kinds import parse_check
from skillpm.checks.number import number_of


@pytest.mark.parametrize(
    ("answer", "number"),
    [
        ("412", 412),
        ("The answer is 412.", 412),
        ("**412**", 412),
        ("__412__", 412),
        ("It is...412!", 412),
        ("400 + 12 = 412", 412),
        ("412 km", 412),
        ("412km/h", 412),
        ("an area of 412 m²", 412),
        ("an area of 412 m2", 412),
        ("$412", 412),
        ("-$412", -412),
        ("€ 4.50", 4.5),
        ("25%", 25),
        ("1,234,567", 1234567),
        ("1,234.5", 1234.5),
        ("1'234'567", 1234567),
        ("1’234", 1234),
        ("1_000", 1000),
        ("12\u00a0345", 12345),
        ("12\u202f345", 12345),
        ("1{,}234", 1234),
        (r"1\,234", 1234),
        ("1,2345", 2345),
        ("3,14", 14),
        ("-5", -5),
        ("\u22125", -5),
        ("+5", 5),
        ("10-5", 5),
        ("(3)-2", 2),
        ("x=-5", -5),
        (".5", 0.5),
        ("-.5", -0.5),
        ("0.50", 0.5),
        ("1e3", 1000.0),
        ("1.5E-3", 0.0015),
        ("1.2 × 10^5", 120000.0),
        (r"1.2 \times 10^{-2}", 0.012),
        ("2*10**3", 2000.0),
        ("3/4", 0.75),
        (r"\frac{3}{4}", 0.75),
        (r"-\frac{1}{2}", -0.5),
        ("3/0", 3),
        ("the version 1.2.3", 1.2),
        (r"so \boxed{412} and not 7", 412),
        (r"\boxed{x = \frac{1}{2}} in 3 steps", 0.5),
        ("1 2 3\n#### 412 apples, of 500", 412),
        ("٤١٢", 412),
        ("４１２", 412),
        ("007", 7),
        ("no number", None),
        ("", None),
        ("x2 y3", None),
        ("½", None),
        ("NaN, Infinity", None),
    ],
)
def test_number_of_an_answer(answer: str, number: float | None) -> None:
    found = number_of(answer)
    assert found == number
    assert type(found) is type(number)


def judged(value: object, answer: str) -> bool:
    check = parse_check({"number": value})
    assert isinstance(check, LocalCheck)
    return check.verdict(answer).passed


def test_whole_numbers_are_compared_exactly() -> None:
    assert judged(10**20, "1" + "0" * 20)
    assert not judged(10**20, "1" + "0" * 19 + "1")
    assert judged(412, "412.0")
    assert not judged(412, "412.0001")
    assert not judged(0, "0.001")
    assert judged(0, "-0")


def test_other_numbers_are_compared_with_a_tolerance() -> None:
    assert judged(3.14159, "3.14159001")
    assert not judged(3.14159, "3.14")
    assert judged({"value": 3.14159, "tolerance": 0.01}, "3.14")
    assert judged({"value": 1000, "tolerance": 0.01}, "1,009")
    assert not judged({"value": 1000, "tolerance": 0.01}, "1,011")


@pytest.mark.parametrize(
    "answer",
    ["9" * 60_000, "1," * 30_000, "1,234" * 10_000, "1e" * 30_000, "-" * 60_000, "1/" * 30_000,
     "." * 60_000, r"\boxed{" * 8000, r"\frac{1}{" * 6000, "####" * 15_000, "1 x 10" * 9000,
     "1" + "\u202f" * 59_000, "{,}" * 20_000, "1e9999", "1e-9999", "1.5e9999"],
    ids=range(16),
)  # fmt: skip
def test_long_answers_take_moderate_time(answer: str) -> None:
    assert not judged(412, answer)  # quadratic work would take minutes
