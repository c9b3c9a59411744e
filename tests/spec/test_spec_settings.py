"""The settings that `config set` knows: keys, places and values."""

import pytest

from skillpm.errors import SpecError, UsageError
from skillpm.spec.config import ELSEWHERE, KEYS
from skillpm.spec.merging import METHODS
from skillpm.spec.settings import ALL_KEYS, check_file, check_key, place_of, read_value


def test_every_setting_of_every_method_and_every_config_key_can_be_set() -> None:
    settings = {f"graft.{name}" for known in METHODS.values() for name in known}
    assert settings | {"graft.mode", "graft.method", "graft.precedence"} | KEYS.keys() == {
        *ALL_KEYS
    }
    places = [place_of(key, user=False) for key in ALL_KEYS]
    assert len(set(places)) == len(places)
    assert not {place for place in places if place[0] == "config" and place[1] in ELSEWHERE} - {
        ("config", "allow-keys")
    }


@pytest.mark.parametrize(
    ("key", "user", "said"),
    [
        ("graft.metod", False, "did you mean `graft.method`"),
        ("workrs", True, "did you mean `workers`"),
        ("x" * 10**6, False, "config show"),
        ("skills.acme/math.weight", False, "skillpm install acme/math --weight"),
        ("graft.mode", True, "leave out `--user`"),
        ("allow-keys", False, "add `--user`"),
    ],
)
def test_a_key_that_cannot_be_set_is_a_usage_error_with_a_hint(
    key: str, said: str, *, user: bool
) -> None:
    with pytest.raises(UsageError) as caught:
        check_key(key, user=user)
    assert said in str(caught.value.hint)
    assert len(caught.value.message) < 200


@pytest.mark.parametrize(
    ("key", "text", "value"),
    [
        ("offline", "yes", True), ("workers", "4", 4), ("lock-timeout", "2.5", 2.5),
        ("graft.density", "0.3", 0.3), ("graft.seed", "7", 7), ("graft.mode", "merge", "merged"),
        ("graft.precedence", "acme/a, acme/b", ["acme/a", "acme/b"]), ("registry", "./r", "./r"),
    ],
)  # fmt: skip
def test_text_becomes_the_value_that_the_file_has(key: str, text: str, value: object) -> None:
    found = read_value(key, text)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.parametrize(
    ("key", "text"),
    [("workers", "0"), ("color", "red"), ("offline", "maybe"), ("graft.method", "tise"),
     ("graft.mode", "x"), ("graft.density", "half"), ("graft.seed", "1.5"), ("registry", "")],
)  # fmt: skip
def test_a_bad_value_is_a_usage_error_with_its_key(key: str, text: str) -> None:
    with pytest.raises(UsageError, match=f"`{key}`"):
        read_value(key, text)


def test_a_file_is_checked_as_its_reader_checks_it() -> None:
    check_file("workers = 2\n", "it", user=True)
    with pytest.raises(SpecError, match="workers"):
        check_file("workers = 0\n", "it", user=True)
    with pytest.raises(SpecError, match="project"):
        check_file("", "it", user=False)
