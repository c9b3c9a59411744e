"""`audit`: findings about installed skills and grafts, as text, JSON, SARIF or CycloneDX."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import AuditDocument, FindingDocument
from skillpm.cli.output import clean, emit_document, emit_json, emit_line, emit_table
from skillpm.cli.state import Command, State, command_project
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.files.named import expanded
from skillpm.spec.levels import LEVELS
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.audit_values import AuditFinding, AuditReport

_PATH = LocalPath()


@click.command(cls=Command)
@click.option(
    "--fail-on",
    type=click.Choice(LEVELS),
    help="Lowest level that fails (default: `[audit] fail-on` in skillpm.toml, else high).",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "sarif", "cyclonedx"]),
    help="Output format (default: text).",
)
@click.option("-o", "--output", metavar="FILE", type=_PATH, help="Write the document to this file.")
@click.option(
    "--graft",
    "grafts",
    metavar="DIR",
    type=_PATH,
    multiple=True,
    help="Check this graft; repeatable (default: graft/).",
)
@click.option(
    "--advisories",
    metavar="PATH",
    type=_PATH,
    multiple=True,
    help="Read OSV documents from this file or folder too; repeatable.",
)
@click.pass_obj
def audit(
    state: State,
    /,
    *,
    fail_on: str | None,
    format_: str | None,
    output: Path | None,
    grafts: tuple[Path, ...],
    advisories: tuple[Path, ...],
) -> None:
    r"""Check installed skills and grafts for problems.

    Reads every byte of base, packs and graft again, and checks digests, yanks, advisories and
    licences. A damaged graft is reported tensor by tensor. The project is not changed. Exit code 3
    if a finding has the level of --fail-on or a higher one; findings below that level are only
    counted.

    \b
    Examples:
      skillpm audit
      skillpm audit --fail-on medium --json
      skillpm audit --format sarif --output audit.sarif
      skillpm audit --format cyclonedx --output bom.cdx.json
      skillpm audit --graft ./served --advisories ./advisories
    """
    from skillpm.files.output import check_output

    _check_format(state, format_, output)
    if output is not None:
        output = expanded(output)
        check_output(output)
    report = command_project(state).audit(advisories=advisories, grafts=grafts)
    level = fail_on or report.fail_on
    _emit(state, report, format_=format_, output=output, level=level)
    if report.at_least(level):
        raise click.exceptions.Exit(3)


def _check_format(state: State, format_: str | None, output: Path | None) -> None:
    """Raise `UsageError` if two documents would be printed to stdout."""
    if state.json and format_ not in (None, "json") and output is None:
        raise UsageError(
            f"`--json` and `--format {format_}` would both print to stdout",
            hint=f"`skillpm audit --json --format {format_} --output audit.{format_}.json`",
        )


def _emit(
    state: State,
    report: "AuditReport",
    *,
    format_: str | None,
    output: Path | None,
    level: str,
) -> None:
    if output is not None:
        from skillpm.journal.atomic import write_atomic

        text = json.dumps(_document(report, format_ or "json"), indent=2, sort_keys=True)
        write_atomic(output, f"{text}\n".encode())
        state.say(f"wrote {output}")
    if state.json or (format_ == "json" and output is None):
        emit_json(_audit_document(report))
    elif format_ in ("sarif", "cyclonedx") and output is None:
        emit_document(_document(report, format_), pretty=True)
    else:
        _show(report, level)


def _document(report: "AuditReport", format_: str) -> Mapping[str, object]:
    if format_ == "sarif":
        return report.to_sarif()
    if format_ == "cyclonedx":
        return report.to_cyclonedx()
    return {"schema_version": 1, **_audit_document(report)}


def _audit_document(report: "AuditReport") -> AuditDocument:
    return {
        "findings": [_finding(finding) for finding in report.findings],
        "checked": report.checked,
        "ignored": [
            {**_finding(ignored.finding), "reason": ignored.reason, "until": ignored.until}
            for ignored in report.ignored
        ],
    }


def _finding(finding: "AuditFinding") -> FindingDocument:
    document: FindingDocument = {
        "level": finding.level,
        "code": finding.code,
        "skill": finding.skill,
        "message": finding.message,
    }
    if finding.id is not None:
        document["id"] = finding.id
    if finding.tensor is not None:
        document["tensor"] = finding.tensor
    return document


def _show(report: "AuditReport", level: str) -> None:
    listed = report.at_least(level)
    if listed:
        rows = [(found.level, found.code, found.skill or "-", found.message) for found in listed]
        emit_table(rows, ("level", "code", "skill", "finding"))
    hidden = len(report.findings) - len(listed)
    found = counted(len(listed), "finding") if listed else "no findings"
    parts = [f"{found} of level {level} or higher in {counted(report.checked, 'check')}"]
    if hidden:
        parts.append(f"{hidden} of lower levels (`skillpm audit --fail-on low` lists them)")
    if report.ignored:
        soonest = min(ignored.until for ignored in report.ignored)
        parts.append(f"{len(report.ignored)} ignored (the first until {soonest})")
    emit_line(clean("; ".join(parts)))
