"""Requirements in Cargo's grammar: Cargo's own test cases, and properties."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spec_strategies import bare_versions, names, near, range_texts, requirements, versions

from skillpm.errors import SpecError
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import ANY, Requirement, VersionRange
from skillpm.spec.versions import Version, is_version

CASES = json.loads(Path(__file__).with_name("cargo.json").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case["requirement"] or "empty")
def test_ranges_match_the_cases_of_cargo(case: dict[str, Any]) -> None:
    wanted = VersionRange.parse(case["requirement"])
    assert [text for text in case["admits"] if Version.parse(text) not in wanted] == []
    assert [text for text in case["refuses"] if Version.parse(text) in wanted] == []


@pytest.mark.parametrize(
    "text",
    [
        *("\0", ">= >= 0.0.2", ">== 0.0.2", "a.0.0", "1.0.0-", ">=", "1.2.3 - 2.0.0", "1 2", "||"),
        *("^1 || ^2", "1,", ",1", ",", "1.*.3", "*.1", ">=1.*", "^*", "~*", "01", "1.02", "1.2-rc"),
        *(
            "1.2.3.4",
            "1.0.0-01",
            "1.0.0-a..b",
            "v1",
            "latest",
            "١",
            "1" * 600,
            "!=1",
            "<>1",
            "1.0.0+",
        ),
    ],
)
def test_malformed_requirements_are_refused_with_a_hint(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        VersionRange.parse(text)
    assert caught.value.hint
    assert len(caught.value.message) < 700


@given(range_texts, near)
def test_comma_means_and(text: str, version: Version) -> None:
    parts = [VersionRange.parse(part) for part in text.split(",")]
    if not version.is_prerelease:
        assert (version in VersionRange.parse(text)) == all(version in part for part in parts)
    elif version in VersionRange.parse(text):
        assert any(version in part for part in parts)


@given(range_texts, near)
def test_prerelease_matches_only_if_its_triple_is_named(text: str, version: Version) -> None:
    wanted = VersionRange.parse(text)
    if version.is_prerelease and version in wanted:
        assert version.triple in wanted.prerelease_triples
    low, high = wanted.interval
    assert version not in wanted or low <= version.key < high


@given(range_texts, near, near)
def test_release_between_two_matching_releases_matches(
    text: str, one: Version, other: Version
) -> None:
    wanted = VersionRange.parse(text)
    low, high = sorted([one, other])
    if low in wanted and high in wanted:
        for number in range(low.minor, high.minor + 1):
            between = Version.of(low.major, number, 0)
            assert not low <= between <= high or between in wanted


@given(bare_versions)
def test_any_matches_every_release_and_no_prerelease(version: Version) -> None:
    assert (version in ANY) == (not version.is_prerelease)


@given(near)
def test_wildcard_beside_other_comparators_changes_nothing(version: Version) -> None:
    assert (version in VersionRange.parse("=*")) == (not version.is_prerelease)
    assert (version in VersionRange.parse("*, ^1.1")) == (version in VersionRange.parse("^1.1"))


def test_any_matches_the_largest_version() -> None:
    assert Version.parse("9" * 120 + ".0.0") in ANY
    assert Version.parse("9" * 120 + ".0.0") in VersionRange.parse(">=1")


@given(names, versions)
def test_exact_requirement_admits_one_version(name: SkillName, version: Version) -> None:
    exact = Requirement.exact(name, version)
    assert exact.admits(name, version)
    bumped = Version.of(version.major, version.minor, version.patch + 1, pre=version.pre)
    assert not exact.admits(name, bumped)
    assert not exact.admits(SkillName(name.namespace, f"{name.name}x"), version)


@given(requirements)
def test_requirements_parse_and_print_are_inverse(requirement: Requirement) -> None:
    assert Requirement.parse(str(requirement)) == requirement
    assert str(Requirement.parse(str(requirement))) == str(requirement)


@given(names, range_texts)
def test_at_sign_form_is_equivalent_unless_it_is_a_reference(name: SkillName, text: str) -> None:
    meant = f"={text.strip()}" if is_version(text.strip()) else text
    assert Requirement.parse(f"{name}@{text}") == Requirement.parse(f"{name} {meant}")


def test_requirement_is_printed_on_one_line() -> None:
    assert str(VersionRange.parse(" >=1,\n\t<2 ")) == ">=1, <2"


def test_skill_without_a_range_means_any_version() -> None:
    requirement = Requirement.parse(" acme/math ")
    assert requirement.range is ANY
    assert str(requirement) == "acme/math"
    assert Requirement.parse("acme/math@") == Requirement.parse("acme/math *") == requirement


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text: str) -> None:
    for read in (VersionRange.parse, Requirement.parse, Version.parse, SkillName.parse):
        with suppress(SpecError):
            read(text)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("acme/math@1.2.0", "acme/math =1.2.0"),
        ("acme/math@1.2.0-rc.1", "acme/math =1.2.0-rc.1"),
        ("acme/math@1.2.0+build.7", "acme/math =1.2.0+build.7"),
        ("acme/math@^1.2.0", "acme/math ^1.2.0"),
        ("acme/math@1.2", "acme/math 1.2"),
        ("acme/math 1.2.0", "acme/math 1.2.0"),
    ],
)
def test_full_version_after_an_at_sign_is_an_exact_requirement(text: str, meant: str) -> None:
    assert str(Requirement.parse(text)) == meant


@pytest.mark.parametrize("text", ["==1.2.0", "== 1.2.0", "===1.2.0", ">=1, ==1.2.0"])
def test_two_equals_signs_get_a_hint(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        VersionRange.parse(text)
    assert caught.value.hint == "write `=1.2.0`"
