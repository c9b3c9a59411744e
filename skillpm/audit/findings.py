"""Findings, what is put aside of them, and which of them fail an audit."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from skillpm.spec.advisory import LEVELS, Level
from skillpm.spec.policy import Ignore


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, how badly, and with which skill or tensor if with one."""

    level: Level
    code: str
    skill: str | None
    message: str
    id: str | None = None
    tensor: str | None = None
    aliases: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ignored:
    """A finding that the project put aside, why, and until when."""

    finding: Finding
    reason: str
    until: date


@dataclass(frozen=True)
class Audited:
    """All findings, the worst first, what was put aside, and how many things were checked."""

    findings: tuple[Finding, ...]
    checked: int
    ignored: tuple[Ignored, ...] = ()

    def at_least(self, level: Level) -> tuple[Finding, ...]:
        """The findings at or above `level`."""
        return tuple(f for f in self.findings if LEVELS.index(f.level) >= LEVELS.index(level))

    def fails(self, level: Level) -> bool:
        """Whether a finding is at or above `level`."""
        return bool(self.at_least(level))


def settle(findings: Iterable[Finding], rules: list[Ignore], today: date, checked: int) -> Audited:
    """Put aside what the project's rules cover today; a rule that has expired is a finding."""
    kept: list[Finding] = []
    aside: list[Ignored] = []
    live = [rule for rule in rules if rule.until >= today]
    for finding in findings:
        rule = next((rule for rule in live if _covers(rule, finding)), None)
        if rule is None:
            kept.append(finding)
        else:
            aside.append(Ignored(finding, rule.reason, rule.until))
    kept.extend(_expired(rule) for rule in rules if rule.until < today)
    kept.sort(key=lambda f: (-LEVELS.index(f.level), f.skill or "", f.code, f.id or "", f.message))
    return Audited(tuple(kept), checked, tuple(aside))


def _covers(rule: Ignore, finding: Finding) -> bool:
    named = finding.aliases | ({finding.id} if finding.id else set())
    return (
        (rule.code is None or rule.code == finding.code)
        and (rule.id is None or rule.id in named)
        and (rule.skill is None or str(rule.skill) == finding.skill)
    )


def _expired(rule: Ignore) -> Finding:
    what = rule.id or rule.code
    text = f"`[[audit.ignore]]` of `{what}` ended on {rule.until}: {rule.reason}"
    return Finding("low", "ignore-expired", str(rule.skill) if rule.skill else None, text)
