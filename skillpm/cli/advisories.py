"""`registry advisory`: publish, list and withdraw statements about bad releases."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import emit_json, emit_line, emit_table
from skillpm.cli.state import Command, State, command_session, global_params
from skillpm.cli.types import LocalPath

if TYPE_CHECKING:
    from skillpm.spec.advisory import Advisory


@click.group(params=global_params())
def advisory() -> None:
    """Say which releases are bad: advisories in OSV form, which `audit` reads."""


@advisory.command("add", cls=Command)
@click.argument("paths", metavar="FILE...", nargs=-1, required=True, type=LocalPath())
@click.pass_obj
def add(state: State, paths: tuple[Path, ...]) -> None:
    r"""Publish advisories from files in OSV form; a newer form replaces an older one.

    \b
    skillpm registry advisory add ACME-2026-1.json
    """
    from skillpm.flows.audit.advisories import add as flow

    done = flow(command_session(state), list(paths))
    if state.json:
        rows = [{**_row(one.advisory), "changed": one.changed} for one in done]
        emit_json({"advisories": rows})
        return
    for one in done:
        emit_line(f"{'published' if one.changed else 'already there:'} {one.advisory.id}")


@advisory.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    r"""List a registry's advisories, withdrawn ones too.

    \b
    skillpm registry advisory list --registry ./team-registry
    """
    from skillpm.flows.audit.advisories import listed

    rows = [_row(one) for one in listed(command_session(state))]
    if state.json:
        emit_json({"advisories": rows})
    elif rows:
        head = ("id", "level", "state", "skills", "summary")
        emit_table([[_cell(row, key) for key in head] for row in rows], head)
    else:
        state.say("no advisory was published yet")


@advisory.command("withdraw", cls=Command)
@click.argument("identifier", metavar="ID")
@click.pass_obj
def withdraw(state: State, identifier: str) -> None:
    r"""Withdraw an advisory: it stays listed, and `audit` reports it no more.

    \b
    skillpm registry advisory withdraw ACME-2026-1
    """
    from skillpm.flows.audit.advisories import withdraw as flow

    done = flow(command_session(state), identifier)
    if state.json:
        emit_json(_row(done))
    else:
        emit_line(f"withdrew {done.id}")


def _row(advisory: "Advisory") -> dict[str, Any]:
    return {
        "id": advisory.id,
        "level": advisory.level,
        "summary": advisory.summary,
        "skills": sorted({str(entry.name) for entry in advisory.skills()}),
        "modified": advisory.modified,
        "withdrawn": advisory.withdrawn,
    }


def _cell(row: dict[str, Any], key: str) -> str:
    if key == "state":
        return "withdrawn" if row["withdrawn"] else ""
    value = row[key]
    return ", ".join(value) if isinstance(value, list) else str(value)
