"""The report of an audit: frozen dataclasses, and the documents that other tools read."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Self

from skillpm.spec.levels import LEVELS

if TYPE_CHECKING:
    from skillpm.audit.findings import Finding
    from skillpm.flows.audit.audit import Report


@dataclass(frozen=True)
class AuditFinding:
    """A problem with an installed skill, or with the whole project if `skill` is None.

    `id` is that of an advisory, `tensor` a damaged tensor of a graft.
    """

    level: str
    code: str
    skill: str | None
    message: str
    id: str | None = None
    tensor: str | None = None

    @classmethod
    def of(cls, finding: "Finding") -> Self:
        """Convert a finding of the flow."""
        return cls(
            finding.level, finding.code, finding.skill, finding.message, finding.id, finding.tensor
        )


@dataclass(frozen=True)
class IgnoredFinding:
    """A finding that `[audit] ignore` puts aside until a day, an ISO date."""

    finding: AuditFinding
    reason: str
    until: str


@dataclass(frozen=True)
class AuditReport:
    """All findings, most severe first; `fail_on` is the project's threshold."""

    findings: tuple[AuditFinding, ...]
    checked: int
    fail_on: str
    ignored: tuple[IgnoredFinding, ...]
    _report: "Report" = field(repr=False, compare=False)
    _created: datetime | None = field(repr=False, compare=False)

    @classmethod
    def of(cls, report: "Report", created: datetime | None) -> Self:
        """Convert a flow's result. `created` is the time that CycloneDX documents state, if any."""
        audited = report.audited
        ignored = (
            IgnoredFinding(AuditFinding.of(one.finding), one.reason, str(one.until))
            for one in audited.ignored
        )
        findings = tuple(map(AuditFinding.of, audited.findings))
        return cls(findings, audited.checked, report.fail_on, tuple(ignored), report, created)

    def at_least(self, level: str) -> tuple[AuditFinding, ...]:
        """The findings at or above a level."""
        least = LEVELS.index(level)
        return tuple(found for found in self.findings if LEVELS.index(found.level) >= least)

    @property
    def passed(self) -> bool:
        """Whether no finding reaches the project's threshold."""
        return not self.at_least(self.fail_on)

    def to_sarif(self) -> Mapping[str, object]:
        """The findings as a SARIF 2.1 document."""
        from skillpm.audit.sarif import sarif

        report = self._report
        return sarif(report.audited, report.lock)

    def to_cyclonedx(self) -> Mapping[str, object]:
        """The installed packs and the findings as a CycloneDX bill of materials."""
        from skillpm.audit.cyclonedx import cyclonedx

        report = self._report
        return cyclonedx(report.inventory, report.audited, self._created)
