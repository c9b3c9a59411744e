"""Findings of an audit, the rules that ignore them, and the level at which an audit fails."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from skillpm.spec.levels import LEVELS, Level
from skillpm.spec.policy import Ignore


@dataclass(frozen=True)
class Finding:
    """A problem, its severity, and the skill or tensor that it concerns, if any."""

    level: Level
    code: str
    skill: str | None
    message: str
    id: str | None = None
    tensor: str | None = None
    aliases: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Ignored:
    """A finding that a rule of skillpm.toml ignores, with the rule's reason and last day."""

    finding: Finding
    reason: str
    until: date


@dataclass(frozen=True)
class Audited:
    """All findings, most severe first, the ignored ones, and the number of checked objects."""

    findings: tuple[Finding, ...]
    checked: int
    ignored: tuple[Ignored, ...] = ()

    def at_least(self, level: Level) -> tuple[Finding, ...]:
        """Return the findings at or above `level`."""
        return tuple(f for f in self.findings if LEVELS.index(f.level) >= LEVELS.index(level))

    def fails(self, level: Level) -> bool:
        """Whether any finding is at or above `level`."""
        return bool(self.at_least(level))


def settle(findings: Iterable[Finding], rules: list[Ignore], today: date, checked: int) -> Audited:
    """Separate the findings that a rule ignores today; an expired rule is itself a finding."""
    kept: list[Finding] = []
    ignored: list[Ignored] = []
    active = [rule for rule in rules if rule.until >= today]
    for finding in findings:
        rule = next((rule for rule in active if _covers(rule, finding)), None)
        if rule is None:
            kept.append(finding)
        else:
            ignored.append(Ignored(finding, rule.reason, rule.until))
    kept.extend(_expired(rule) for rule in rules if rule.until < today)
    kept.sort(key=lambda f: (-LEVELS.index(f.level), f.skill or "", f.code, f.id or "", f.message))
    return Audited(tuple(kept), checked, tuple(ignored))


def _covers(rule: Ignore, finding: Finding) -> bool:
    ids = finding.aliases | ({finding.id} if finding.id else set())
    return (
        (rule.code is None or rule.code == finding.code)
        and (rule.id is None or rule.id in ids)
        and (rule.skill is None or str(rule.skill) == finding.skill)
    )


def _expired(rule: Ignore) -> Finding:
    target = rule.id or rule.code
    text = (
        f"the `[[audit.ignore]]` rule for `{target}` expired on {rule.until} (reason: "
        f"{rule.reason}); set a later `until` in skillpm.toml, or remove the rule"
    )
    return Finding("low", "ignore-expired", str(rule.skill) if rule.skill else None, text)
