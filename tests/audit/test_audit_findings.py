"""Ignored findings, their expiry, and the level at which an audit fails."""

from datetime import date
from typing import Any

import pytest

from skillpm.audit.findings import Finding, settle
from skillpm.errors import SpecError
from skillpm.spec.policy import Ignore
from skillpm.spec.project import parse_project

TODAY = date(2030, 1, 31)
YANK = Finding("high", "yanked", "acme/math", "it was yanked")
BUG = Finding("critical", "advisory", "acme/sql", "bad", "ACME-1", aliases=frozenset({"CVE-1"}))
HEAD = f'[project]\nbase = "b"\nroot = "sha256:{"0" * 64}"\n'


def rule(until: str = "2030-01-31", **what: Any) -> Ignore:
    return Ignore.model_validate({"reason": "we know", "until": until, **what})


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ({"code": "yanked"}, [BUG]),
        ({"id": "ACME-1"}, [YANK]),
        ({"id": "CVE-1"}, [YANK]),
        ({"id": "ACME-1", "skill": "acme/sql"}, [YANK]),
        ({"id": "ACME-1", "skill": "acme/math"}, [BUG, YANK]),
        ({"code": "yanked", "id": "ACME-1"}, [BUG, YANK]),
        ({"code": "advisory", "id": "ACME-1"}, [YANK]),
    ],
)
def test_ignore_rule_hides_the_findings_it_names(what: dict[str, str], left: list[Finding]) -> None:
    audited = settle([YANK, BUG], [rule(**what)], TODAY, 2)
    assert list(audited.findings) == left
    assert {one.finding for one in audited.ignored} == {YANK, BUG} - set(left)
    assert all(one.reason == "we know" for one in audited.ignored)


def test_expired_ignore_rule_has_no_effect_and_is_reported() -> None:
    audited = settle([YANK], [rule("2030-01-30", code="yanked")], TODAY, 1)
    assert [one.code for one in audited.findings] == ["yanked", "ignore-expired"]
    assert audited.ignored == ()
    assert "2030-01-30" in audited.findings[1].message


def test_worst_finding_is_first_and_fails_at_its_level_and_below() -> None:
    audited = settle([YANK, BUG], [], TODAY, 2)
    assert audited.findings == (BUG, YANK)
    fails = [audited.fails(level) for level in ("low", "medium", "high", "critical")]
    assert fails == [True] * 4
    assert audited.at_least("critical") == (BUG,)
    assert not settle([YANK], [], TODAY, 1).fails("critical")


def test_project_file_lists_ignored_findings() -> None:
    text = """[audit]
fail-on = "medium"
[audit.licenses]
allow = ["MIT"]
[[audit.ignore]]
id = "ACME-1"
reason = "not reached"
until = 2030-06-30
[[audit.ignore]]
code = "unsigned"
reason = "we sign from May"
until = "2030-05-01"
"""
    table = parse_project(HEAD + text).audit
    assert (table.fail_on, table.licenses.allow) == ("medium", ["MIT"])
    assert [str(one.until) for one in table.ignore] == ["2030-06-30", "2030-05-01"]


@pytest.mark.parametrize(
    ("line", "path"),
    [
        ('code = "x"\nuntil = 2030-01-01', "reason"),
        ('code = "x"\nreason = " "\nuntil = 2030-01-01', "reason"),
        ('code = "x"\nreason = "y"', "until"),
        ('code = "x"\nreason = "y"\nuntil = "soon"', "until"),
        ('reason = "y"\nuntil = 2030-01-01', "audit.ignore"),
    ],
)
def test_ignore_rule_without_code_reason_and_date_is_refused(line: str, path: str) -> None:
    with pytest.raises(SpecError, match=path):
        parse_project(f"{HEAD}[[audit.ignore]]\n{line}\n")


def test_unknown_level_is_refused() -> None:
    with pytest.raises(SpecError, match=r"audit\.fail"):
        parse_project(f'{HEAD}[audit]\nfail-on = "bad"\n')
