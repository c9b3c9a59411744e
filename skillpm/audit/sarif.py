"""Findings as SARIF 2.1.0, the input format of code-scanning tools."""

from typing import Any

from skillpm.audit.findings import Audited, Finding
from skillpm.spec.levels import Level
from skillpm.version import __version__

_LEVELS: dict[Level, str] = {
    "low": "note",
    "medium": "warning",
    "high": "error",
    "critical": "error",
}
_SCORES: dict[Level, str] = {"low": "2.0", "medium": "5.0", "high": "8.0", "critical": "9.5"}
SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
LOCK = "skillpm.lock"


def sarif(audited: Audited, lock: str) -> dict[str, Any]:
    """Return a SARIF log. Findings refer to lines of `lock`, the text of skillpm.lock."""
    findings = [*audited.findings, *(entry.finding for entry in audited.ignored)]
    codes = sorted({finding.code for finding in findings})
    lines = _lines(lock)
    results = [_result(finding, codes, lines) for finding in audited.findings]
    for entry in audited.ignored:
        suppression = {"kind": "external", "status": "accepted", "justification": entry.reason}
        results.append({**_result(entry.finding, codes, lines), "suppressions": [suppression]})
    worst = {code: max((f for f in findings if f.code == code), key=_rank).level for code in codes}
    driver = {
        "name": "skillpm",
        "version": __version__,
        "rules": [_rule(code, worst[code]) for code in codes],
    }
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{"tool": {"driver": driver}, "results": results, "columnKind": "utf16CodeUnits"}],
    }


def _rank(finding: Finding) -> float:
    return float(_SCORES[finding.level])


def _rule(code: str, level: Level) -> dict[str, Any]:
    return {
        "id": code,
        "shortDescription": {"text": code.replace("-", " ")},
        "defaultConfiguration": {"level": _LEVELS[level]},
        "properties": {"security-severity": _SCORES[level], "tags": ["security"]},
    }


def _result(finding: Finding, codes: list[str], lines: dict[str, int]) -> dict[str, Any]:
    properties = {"level": finding.level, "skill": finding.skill, "tensor": finding.tensor}
    place = {
        "artifactLocation": {"uri": LOCK},
        "region": {"startLine": lines.get(finding.skill or "", 1)},
    }
    return {
        "ruleId": finding.code,
        "ruleIndex": codes.index(finding.code),
        "level": _LEVELS[finding.level],
        "message": {"text": finding.message},
        "locations": [{"physicalLocation": place}],
        "properties": {key: value for key, value in properties.items() if value},
    }


def _lines(lock: str) -> dict[str, int]:
    """Return the line number of each skill's entry in the lock."""
    lines: dict[str, int] = {}
    for number, line in enumerate(lock.splitlines(), start=1):
        if line.startswith('skill = "'):
            lines[line.removeprefix('skill = "').rstrip('"')] = number
    return lines
