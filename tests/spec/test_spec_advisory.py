"""Advisories in OSV format: which releases they affect."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillpm.errors import SpecError
from skillpm.spec.advisory import Advisory, parse_advisories
from skillpm.spec.names import SkillName
from skillpm.spec.versions import Version

MATH = SkillName.parse("acme/math")


def osv(*events: dict[str, str], **more: Any) -> dict[str, Any]:
    """An OSV document about acme/math."""
    package = {"ecosystem": "skillpm", "name": "acme/math"}
    ranges = [{"type": "SEMVER", "events": list(events)}] if events else []
    affected = [{"package": package, "ranges": ranges, "versions": more.pop("versions", [])}]
    plain = {"id": "ACME-1", "modified": "2026-01-01T00:00:00Z", "affected": affected}
    return {**plain, **more}


def one(plain: Any) -> Advisory:
    (found,) = parse_advisories(json.dumps(plain).encode(), "a.json")
    return found


def affected(advisory: Advisory, version: str) -> bool:
    return advisory.affects(MATH, Version.parse(version))


@pytest.mark.parametrize(
    ("events", "inside", "outside"),
    [
        ([{"introduced": "0"}], ["0.0.1-a", "9.0.0"], []),
        (
            [{"introduced": "1.0.0"}, {"fixed": "1.2.0"}],
            ["1.0.0", "1.1.9", "1.2.0-rc.1"],
            ["0.9.0", "1.0.0-rc.1", "1.2.0", "2.0.0"],
        ),
        ([{"introduced": "0"}, {"last_affected": "1.2.0"}], ["1.2.0"], ["1.2.1", "1.3.0-a"]),
        (
            [{"fixed": "2.1.0"}, {"introduced": "2.0.0"}, {"introduced": "0"}, {"fixed": "1.0.0"}],
            ["0.5.0", "2.0.5"],
            ["1.0.0", "1.9.9", "2.1.0"],
        ),
    ],
)
def test_affects_follows_the_last_event_at_or_below_the_version(
    events: list[dict[str, str]], inside: list[str], outside: list[str]
) -> None:
    advisory = one(osv(*events))
    assert [v for v in inside if not affected(advisory, v)] == []
    assert [v for v in outside if affected(advisory, v)] == []
    assert not advisory.affects(SkillName.parse("acme/other"), Version.parse("1.1.0"))


def test_affects_includes_listed_versions() -> None:
    advisory = one(osv({"introduced": "3.0.0"}, versions=["1.0.0", "1.0.1"]))
    assert [v for v in ("1.0.0", "1.0.1", "1.0.2", "3.1.0") if affected(advisory, v)] == [
        "1.0.0",
        "1.0.1",
        "3.1.0",
    ]


def test_withdrawn_advisory_affects_nothing() -> None:
    assert not affected(one(osv({"introduced": "0"}, withdrawn="2026-02-02T00:00:00Z")), "1.0.0")


def test_fixed_in_returns_the_lowest_fixed_version_above() -> None:
    advisory = one(
        osv({"introduced": "0"}, {"fixed": "1.4.0"}, {"introduced": "2.0.0"}, {"fixed": "2.1.0"})
    )
    fixes = [advisory.fixed_in(MATH, Version.parse(v)) for v in ("1.0.0", "2.0.0", "3.0.0")]
    assert [str(fix) for fix in fixes] == ["1.4.0", "2.1.0", "None"]


@pytest.mark.parametrize(
    ("more", "level"),
    [
        ({}, "high"),
        ({"database_specific": {"severity": "MODERATE"}}, "medium"),
        ({"database_specific": {"severity": "critical"}}, "critical"),
        ({"database_specific": {"severity": 5}, "severity": [{"score": "9.1"}]}, "critical"),
        ({"severity": [{"type": "CVSS_V3", "score": "7.0"}]}, "high"),
        ({"severity": [{"score": "6.9"}]}, "medium"),
        ({"severity": [{"score": "0.0"}]}, "low"),
        ({"severity": [{"type": "CVSS_V4", "score": "CVSS:4.0/AV:N"}]}, "high"),
    ],
)
def test_level_comes_from_word_or_score_and_defaults_to_high(
    more: dict[str, Any], level: str
) -> None:
    assert one(osv({"introduced": "0"}, **more)).level == level


def test_other_ecosystems_and_range_types_are_ignored() -> None:
    plain = osv({"introduced": "0"})
    other = {"package": {"ecosystem": "PyPI", "name": "Not A Skill"}, "versions": ["1!0"]}
    git = {"type": "GIT", "repo": "x", "events": [{"introduced": "0"}, {"limit": "f00"}]}
    plain["affected"][0]["ranges"].append(git)
    assert affected(one({**plain, "affected": [other, *plain["affected"]]}), "1.0.0")


def test_every_problem_of_every_advisory_is_reported_with_its_path() -> None:
    bad = osv({"introduced": "1"}, {"introduced": "1.0.0", "fixed": "2.0.0"}, versions=["x"])
    with pytest.raises(SpecError) as refused:
        parse_advisories(json.dumps([osv(), {"id": ""}, bad]).encode(), "a.json")
    text = refused.value.message
    assert "[1]: id:" in text
    assert "[1]: modified:" in text
    assert "[2]: affected[0]: ranges[0].events[0].introduced" in text
    assert "[2]: affected[0]: versions[0]" in text


def test_duplicate_advisory_is_refused() -> None:
    with pytest.raises(SpecError, match="duplicate advisory"):
        parse_advisories(json.dumps([osv(), osv()]).encode(), "a.json")


versions = st.builds("{}.{}.{}".format, *[st.integers(0, 3)] * 3)


@given(start=versions, stop=versions, asked=versions)
def test_affected_range_is_half_open(start: str, stop: str, asked: str) -> None:
    low, high, at = map(Version.parse, (start, stop, asked))
    if low < high:
        advisory = one(osv({"introduced": start}, {"fixed": stop}))
        assert advisory.affects(MATH, at) == (low <= at < high)
