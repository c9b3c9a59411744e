"""Numbers in messages have as few digits as distinguish them."""

from math import inf, nan

from skillpm.spec.words import counted, distinct


def test_numbers_that_differ_read_differently() -> None:
    assert distinct(0.4806, 0.4807) == ["0.4806", "0.4807"]
    assert distinct(0.48061, 0.480621) == ["0.48061", "0.48062"]
    assert distinct(1.0, 1 + 2**-52)[0] != distinct(1.0, 1 + 2**-52)[1]


def test_numbers_have_four_digits_where_that_is_enough() -> None:
    assert distinct(0.123456, 0.123456, 7.0) == ["0.1235", "0.1235", "7"]
    assert distinct(1e308, nan, inf, -inf) == ["1e+308", "nan", "inf", "-inf"]


def test_a_count_is_followed_by_its_noun() -> None:
    assert (counted(1, "skill"), counted(0, "skill")) == ("1 skill", "0 skills")
