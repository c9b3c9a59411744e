"""Numbers in messages have as few digits as distinguish them."""

from math import inf, nan

from skillpm.spec.words import counted, distinct


def test_distinct_shows_different_numbers_differently() -> None:
    assert distinct(0.4806, 0.4807) == ["0.4806", "0.4807"]
    assert distinct(0.48061, 0.480621) == ["0.48061", "0.48062"]
    assert distinct(1.0, 1 + 2**-52)[0] != distinct(1.0, 1 + 2**-52)[1]


def test_distinct_shows_four_digits_if_sufficient() -> None:
    assert distinct(0.123456, 0.123456, 7.0) == ["0.1235", "0.1235", "7"]
    assert distinct(1e308, nan, inf, -inf) == ["1e+308", "nan", "inf", "-inf"]


def test_counted_puts_the_noun_after_the_count() -> None:
    assert (counted(1, "skill"), counted(0, "skill")) == ("1 skill", "0 skills")
