"""`registry advisory`: publish, list and withdraw advisories about bad releases."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import AdvisoryDocument
from skillpm.cli.output import emit_json, emit_line, emit_table
from skillpm.cli.result_documents import AddedAdvisories, AdvisoriesDocument
from skillpm.cli.state import Command, State, command_client, global_params
from skillpm.cli.types import LocalPath

if TYPE_CHECKING:
    from skillpm.spec.advisory import Advisory


@click.group(params=global_params())
def advisory() -> None:
    """Publish advisories, which `audit` reports.

    An advisory is a document in OSV form that names bad releases and a level.
    """


@advisory.command("add", cls=Command)
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=LocalPath(),
    help="OSV documents (JSON), or folders of them.",
)
@click.pass_obj
def add(state: State, paths: tuple[Path, ...]) -> None:
    r"""Publish advisories from OSV files.

    An advisory with a later `modified` time replaces the published one with the same id.

    \b
    Example:
      skillpm registry advisory add ACME-2026-1.json
    """
    from skillpm.api.releases import add_advisories

    results = add_advisories(command_client(state), paths)
    if state.json:
        added: AddedAdvisories = {
            "advisories": [
                {**_document(result.advisory), "changed": result.changed} for result in results
            ]
        }
        emit_json(added)
        return
    for result in results:
        verb = "published" if result.changed else "already published:"
        emit_line(f"{verb} {result.advisory.id}")


@advisory.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    r"""List a registry's advisories.

    Withdrawn advisories are listed too.

    \b
    Example:
      skillpm registry advisory list --registry ./team-registry
    """
    from skillpm.api.releases import list_advisories

    documents = [_document(advisory) for advisory in list_advisories(command_client(state))]
    if state.json:
        listed: AdvisoriesDocument = {"advisories": documents}
        emit_json(listed)
    elif documents:
        emit_table(map(_row, documents), ("id", "level", "state", "skills", "summary"))
    else:
        state.say("the registry has no advisories")


@advisory.command("withdraw", cls=Command)
@click.argument(
    "identifier",
    metavar="ID",
    help="Advisory, as `registry advisory list` shows it: `ACME-2026-1`.",
)
@click.pass_obj
def withdraw(state: State, identifier: str) -> None:
    r"""Withdraw an advisory.

    It stays listed, but `audit` no longer reports it.

    \b
    Example:
      skillpm registry advisory withdraw ACME-2026-1
    """
    from skillpm.api.releases import withdraw_advisory

    withdrawn = withdraw_advisory(command_client(state), identifier)
    if state.json:
        emit_json(_document(withdrawn))
    else:
        emit_line(f"withdrew {withdrawn.id}")


def _document(advisory: "Advisory") -> AdvisoryDocument:
    return {
        "id": advisory.id,
        "level": advisory.level,
        "summary": advisory.summary,
        "skills": sorted({str(entry.name) for entry in advisory.skills()}),
        "modified": advisory.modified,
        "withdrawn": advisory.withdrawn,
    }


def _row(advisory: AdvisoryDocument) -> tuple[str, ...]:
    return (
        advisory["id"],
        advisory["level"],
        "withdrawn" if advisory["withdrawn"] else "",
        ", ".join(advisory["skills"]),
        advisory["summary"],
    )
