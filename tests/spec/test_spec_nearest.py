"""Suggestions of similar names."""

from skillpm.spec.nearest import did_you_mean, most_similar

_KNOWN = ("acme/math", "acme/sql", "other/tone")


def test_the_most_similar_name_is_suggested() -> None:
    assert did_you_mean("acme/maths", _KNOWN, otherwise="none") == "did you mean `acme/math`?"


def test_without_a_similar_name_the_other_hint_is_given() -> None:
    assert did_you_mean("zzz", _KNOWN, otherwise="see `skillpm list`") == "see `skillpm list`"
    assert did_you_mean("acme/math", (), otherwise="none") == "none"


def test_a_lower_cutoff_accepts_less_similar_names() -> None:
    assert most_similar("math", _KNOWN, cutoff=0.7) is None
    assert most_similar("math", _KNOWN, cutoff=0.5) == "acme/math"
