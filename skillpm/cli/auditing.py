"""`audit`: findings about installed skills and grafts, as text, JSON, SARIF or CycloneDX."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import AuditDocument, FindingDocument
from skillpm.cli.output import clean, emit_document, emit_json, emit_line, emit_table
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.audit.findings import Audited, Finding
    from skillpm.flows.audit.audit import Report
    from skillpm.flows.session.session import Session
    from skillpm.spec.advisory import Level

_LEVELS = ["low", "medium", "high", "critical"]
_PATH = LocalPath()


@click.command(cls=Command)
@click.option(
    "--fail-on",
    type=click.Choice(_LEVELS),
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
    fail_on: "Level | None",
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
    from skillpm.flows.audit.audit import audit as flow

    _check_format(state, format_, output)
    if output is not None:
        output = output.expanduser()
        check_output(output)
    session = command_session(state)
    report = flow(session, grafts, advisories)
    level = fail_on or report.fail_on
    _emit(state, session, report, format_=format_, output=output, level=level)
    if report.audited.fails(level):
        raise click.exceptions.Exit(3)


def _check_format(state: State, format_: str | None, output: Path | None) -> None:
    """Raise `UsageError` if two documents would be printed to stdout."""
    if state.json and format_ not in (None, "json") and output is None:
        raise UsageError(
            f"`--json` and `--format {format_}` would both print to stdout",
            hint=f"`skillpm audit --json --format {format_} --output FILE`",
        )


def _emit(
    state: State,
    session: "Session",
    report: "Report",
    *,
    format_: str | None,
    output: Path | None,
    level: "Level",
) -> None:
    if output is not None:
        from skillpm.journal.atomic import write_atomic

        text = json.dumps(_document(session, report, format_ or "json"), indent=2, sort_keys=True)
        write_atomic(output, f"{text}\n".encode())
        state.say(f"wrote {output}")
    if state.json or (format_ == "json" and output is None):
        emit_json(_audit_document(report.audited))
    elif format_ in ("sarif", "cyclonedx") and output is None:
        emit_document(_document(session, report, format_), pretty=True)
    else:
        _show(report.audited, level)


def _document(session: "Session", report: "Report", format_: str) -> Mapping[str, object]:
    if format_ == "sarif":
        from skillpm.audit.sarif import sarif

        return sarif(report.audited, report.lock)
    if format_ == "cyclonedx":
        from skillpm.audit.cyclonedx import cyclonedx

        # The time is included only if SOURCE_DATE_EPOCH sets it, so that equal locks give equal
        # documents.
        created = session.created if session.created != session.now else None
        return cyclonedx(report.inventory, report.audited, created)
    return {"schema_version": 1, **_audit_document(report.audited)}


def _audit_document(audited: "Audited") -> AuditDocument:
    return {
        "findings": [_finding(finding) for finding in audited.findings],
        "checked": audited.checked,
        "ignored": [
            {**_finding(ignored.finding), "reason": ignored.reason, "until": str(ignored.until)}
            for ignored in audited.ignored
        ],
    }


def _finding(finding: "Finding") -> FindingDocument:
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


def _show(audited: "Audited", level: "Level") -> None:
    listed = audited.at_least(level)
    if listed:
        rows = [(found.level, found.code, found.skill or "-", found.message) for found in listed]
        emit_table(rows, ("level", "code", "skill", "finding"))
    hidden = len(audited.findings) - len(listed)
    parts = [f"{counted(audited.checked, 'check')}, {counted(len(listed), 'finding')}"]
    if hidden:
        parts.append(f"{hidden} below `{level}` hidden (`--fail-on low` shows them)")
    if audited.ignored:
        soonest = min(ignored.until for ignored in audited.ignored)
        parts.append(f"{len(audited.ignored)} ignored (the first until {soonest})")
    emit_line(clean("; ".join(parts)))
