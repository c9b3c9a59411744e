"""`audit`: whether what is installed can be trusted, for people, programs and scanners."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

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
    help="Exit 3 from here on. Default: `[audit] fail-on`, else high.",
)
@click.option(
    "--format",
    "format_",
    type=click.Choice(["text", "json", "sarif", "cyclonedx"]),
    help="Default: text.",
)
@click.option("-o", "--output", metavar="FILE", type=_PATH, help="Write the document there.")
@click.option("--graft", "grafts", metavar="DIR", type=_PATH, multiple=True, help="Not graft/.")
@click.option(
    "--advisories",
    metavar="PATH",
    type=_PATH,
    multiple=True,
    help="A file or folder of OSV documents, beside what registries say.",
)
@click.pass_obj
def audit(state: State, /, fail_on: "Level | None", format_: str | None, **asked: Any) -> None:
    r"""Check all that is installed and grafted: bytes, base, yanks, advisories, licences.

    Every byte is read again; nothing of the project is written. A damaged graft is told by tensor.
    Findings below the level that fails are counted, and shown with `--fail-on low`.

    \b
    skillpm audit
    skillpm audit --fail-on medium --json
    skillpm audit --format sarif --output audit.sarif
    skillpm audit --format cyclonedx --output bom.cdx.json
    skillpm audit --graft ./served --advisories ./advisories
    """
    from skillpm.files.output import check_output
    from skillpm.flows.audit.audit import audit as flow

    if state.json and format_ not in (None, "json") and asked["output"] is None:
        raise UsageError(
            f"`--json` and `--format {format_}` are two documents, and stdout takes one",
            hint=f"`skillpm audit --json --format {format_} --output FILE`",
        )
    if asked["output"] is not None:
        asked["output"] = asked["output"].expanduser()
        check_output(asked["output"])
    session = command_session(state)
    report = flow(session, asked["grafts"], asked["advisories"])
    level = fail_on or report.fail_on
    _emit(state, session, report, (format_, asked["output"], level))
    if report.audited.fails(level):
        raise click.exceptions.Exit(3)


def _emit(
    state: State,
    session: "Session",
    report: "Report",
    how: "tuple[str | None, Path | None, Level]",
) -> None:
    format_, output, level = how
    if output is not None:
        from skillpm.journal.atomic import write_atomic

        text = json.dumps(_document(session, report, format_ or "json"), indent=2, sort_keys=True)
        write_atomic(output, f"{text}\n".encode())
        state.say(f"wrote {output}")
    if state.json or (format_ == "json" and output is None):
        emit_json(_plain(report.audited))
    elif format_ in ("sarif", "cyclonedx") and output is None:
        emit_document(_document(session, report, format_), pretty=True)
    else:
        _show(report.audited, level)


def _document(session: "Session", report: "Report", format_: str) -> dict[str, Any]:
    if format_ == "sarif":
        from skillpm.audit.sarif import sarif

        return sarif(report.audited, report.lock)
    if format_ == "cyclonedx":
        from skillpm.audit.cyclonedx import cyclonedx

        # A time stands in it only where SOURCE_DATE_EPOCH gave one: equal locks, equal documents.
        given = session.created if session.created != session.now else None
        return cyclonedx(report.inventory, report.audited, given)
    return {"schema_version": 1, **_plain(report.audited)}


def _plain(audited: "Audited") -> dict[str, Any]:
    return {
        "findings": [_row(one) for one in audited.findings],
        "checked": audited.checked,
        "ignored": [
            {**_row(one.finding), "reason": one.reason, "until": str(one.until)}
            for one in audited.ignored
        ],
    }


def _row(one: "Finding") -> dict[str, Any]:
    more = {"id": one.id, "tensor": one.tensor}
    plain = {"level": one.level, "code": one.code, "skill": one.skill, "message": one.message}
    return {**plain, **{key: value for key, value in more.items() if value is not None}}


def _show(audited: "Audited", level: "Level") -> None:
    shown = audited.at_least(level)
    if shown:
        rows = [(one.level, one.code, one.skill or "-", one.message) for one in shown]
        emit_table(rows, ("level", "code", "skill", "finding"))
    hidden = len(audited.findings) - len(shown)
    parts = [f"{counted(audited.checked, 'check')}, {counted(len(shown), 'finding')}"]
    if hidden:
        parts.append(f"{hidden} below `{level}` hidden (`--fail-on low` shows them)")
    if audited.ignored:
        soonest = min(one.until for one in audited.ignored)
        parts.append(f"{len(audited.ignored)} ignored (the first until {soonest})")
    emit_line(clean("; ".join(parts)))
