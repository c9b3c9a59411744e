"""Very long untrusted input is refused with a short message."""

import pytest

from skillpm.errors import MESSAGE_LIMIT, Problems, SpecError
from skillpm.spec import json, toml
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.names import SkillName
from skillpm.spec.project import parse_project
from skillpm.spec.requirements import Requirement

LONG = "x" * 1_000_000


@pytest.mark.parametrize("parse", [SkillName.parse, Digest, Requirement.parse])
def test_long_word_is_refused_with_a_short_message(parse: object) -> None:
    with pytest.raises(SpecError) as caught:
        parse(LONG)  # type: ignore[operator]
    assert len(caught.value.message) <= MESSAGE_LIMIT + 60


def test_message_of_many_long_problems_is_limited() -> None:
    problems = Problems("it")
    for _ in range(1000):
        problems.add(LONG, LONG)
    with pytest.raises(SpecError, match="it has 1000 problems") as caught:
        problems.raise_if_any()
    assert len(caught.value.message) <= MESSAGE_LIMIT + 60


@pytest.mark.parametrize("number", ["9" * 5000, "0x" + "f" * 20_000, "-0x8" + "0" * 16, "1e400"])
def test_numbers_that_toml_does_not_allow_are_refused(number: str) -> None:
    root = f'[project]\nbase = "b"\nroot = "sha256:{"ab" * 32}"\n'
    with pytest.raises(SpecError):
        parse_project(f'{root}[skills]\n"a/b" = {{ version = "1", weight = {number} }}\n')


@pytest.mark.parametrize("text", [
    "a = " + "[" * 70 + "]" * 70, "a = " + "[" * 100_000, "a." * 70 + "a = 1", "x = " + "9" * 5000,
    "a = 2026-13-45", 'a = "\\ud800"',
])  # fmt: skip
def test_invalid_toml_is_a_spec_error(text: str) -> None:
    with pytest.raises(SpecError):
        toml.parse(text, "it")


@pytest.mark.parametrize("data", [
    b"9" * 5000, b"[" * 100_000, b'{"a": ' * 70 + b"1" + b"}" * 70, b'"\\ud800"', b"\xff", b"NaN",
])  # fmt: skip
def test_invalid_json_is_a_spec_error(data: bytes) -> None:
    for parse in (parse_manifest, lambda d: json.parse(d, "it")):
        with pytest.raises(SpecError):
            parse(data)
