"""`list` and `history`: commands that only read, and import little.

The types of the documents are imported for the type checker alone.
"""

from typing import TYPE_CHECKING

import click

from skillpm.cli.output import (
    emit_json,
    emit_line,
    emit_table,
    size_text,
    skill_document,
    verified_text,
)
from skillpm.cli.state import Command, State, command_client, release_states, verified_packs
from skillpm.spec.digests import Digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skillpm.api.results import Listing
    from skillpm.cli.documents import InstalledDocument
    from skillpm.cli.result_documents import GenerationDocument, HistoryDocument, ListDocument
    from skillpm.environment.generation import Generation, Installed
    from skillpm.spec.names import SkillName
    from skillpm.store.release_states import ReleaseState

_COLUMNS = ("skill", "version", "scheme", "payload", "weight", "registry", "verified")
_VERBOSE = ("license", "digest")


@click.command("list", cls=Command)
@click.option(
    "-v", "--verbose", is_flag=True, help="Show the licence and the digest of each skill."
)
@click.pass_obj
def list_(state: State, /, *, verbose: bool) -> None:
    r"""List the installed skills.

    Marks releases that were yanked or quarantined when their registry was last contacted; `skillpm
    outdated` and `skillpm audit` contact it now.

    \b
    Examples:
      skillpm list
      skillpm list --verbose
      skillpm list --json
    """
    from skillpm.api.reading import list_installed, read_licences

    client = command_client(state)
    listing = list_installed(client)
    generation = listing.generation
    verified = verified_packs(state)
    states = release_states(state)
    skills = [
        _installed(
            skill,
            verified=verified.holds(skill.digest, generation.base_root),
            state=states.of(skill.skill).get(skill.digest),
        )
        for skill in generation.installed.values()
    ]
    if verbose:
        _add_licences(skills, read_licences(client, listing))
    if state.json:
        emit_json(_list_document(listing, skills))
        return
    for note in listing.notes:
        state.say(note)
    emit_line(f"generation {generation.number} on base {generation.base_root.short}")
    if skills:
        emit_line()
        _show_installed(state, skills, verbose=verbose)
    else:
        emit_line("no skills are installed")


def _add_licences(
    skills: "list[InstalledDocument]", licences: "Mapping[SkillName, str | None]"
) -> None:
    known = {str(skill): licence for skill, licence in licences.items()}
    for skill in skills:
        if skill["skill"] in known:
            skill["license"] = known[skill["skill"]]


def _show_installed(state: State, skills: "list[InstalledDocument]", *, verbose: bool) -> None:
    marked = [skill for skill in skills if skill["yanked"]]
    columns = [*_COLUMNS, *(_VERBOSE if verbose else ()), *(("state",) if marked else ())]
    cells = map(_cells, skills)
    emit_table([[row[column] for column in columns] for row in cells], columns)
    for skill in marked:
        reason = f": {skill['yank_reason']}" if skill["yank_reason"] else ""
        state.say(
            f"warning: {skill['skill']} {skill['version']} is {_state_text(skill)}{reason}; "
            f"`skillpm upgrade {skill['skill']}` finds another"
        )


def _state_text(skill: "InstalledDocument") -> str:
    return "quarantined" if skill["quarantined"] else "yanked" if skill["yanked"] else ""


def _list_document(listing: "Listing", skills: "list[InstalledDocument]") -> "ListDocument":
    return {
        "generation": listing.generation.number,
        "base_root": str(listing.generation.base_root),
        "skills": skills,
        "notes": list(listing.notes),
    }


def _installed(
    installed: "Installed", *, verified: bool, state: "ReleaseState | None"
) -> "InstalledDocument":
    return {
        "skill": str(installed.skill),
        "version": str(installed.version),
        "digest": str(installed.digest),
        "scheme": installed.scheme,
        "registry": installed.registry,
        "payload_bytes": installed.payload_bytes,
        "weight": installed.weight,
        "verified": verified,
        "yanked": state is not None,
        "quarantined": state is not None and state.quarantined,
        "yank_reason": "" if state is None else state.reason,
    }


def _cells(skill: "InstalledDocument") -> dict[str, object]:
    """What the table shows of a skill, by column."""
    return {
        "skill": skill["skill"],
        "version": skill["version"],
        "scheme": skill["scheme"],
        "payload": size_text(skill["payload_bytes"]),
        "weight": skill["weight"],
        "registry": skill["registry"],
        "verified": verified_text(skill["verified"]),
        "license": skill.get("license", "unknown") or "-",
        "digest": Digest(skill["digest"]).short,
        "state": _state_text(skill),
    }


@click.command(cls=Command)
@click.pass_obj
def history(state: State) -> None:
    r"""List the generations of the project.

    Shows the action, the skills and the graft settings of each generation, and marks the current
    one with `*`.

    \b
    Example:
      skillpm history
    """
    from skillpm.api.reading import list_generations

    past = list_generations(command_client(state))
    if state.json:
        rows: list[GenerationDocument] = [
            {
                "number": entry.number,
                "created": entry.created,
                "action": entry.action,
                "skills": [skill_document(skill) for skill in entry.installed.values()],
                "graft": None if entry.pruned else entry.lockfile.graft.merge_options,
                "pruned": entry.pruned,
            }
            for entry in past.generations
        ]
        document: HistoryDocument = {"current": past.current, "generations": rows}
        emit_json(document)
        return
    table = [
        (
            entry.number,
            "*" if entry.number == past.current else "pruned" if entry.pruned else "",
            entry.created,
            entry.action,
            _merge_text(entry),
            ", ".join(map(_weighted, entry.installed.values())) or "-",
        )
        for entry in past.generations
    ]
    emit_table(table, ("generation", "", "created", "action", "graft", "skills"))


def _merge_text(generation: "Generation") -> str:
    """The graft settings of a generation: `sum`, `ties density=0.5`, `routed`; `-` if pruned."""
    if generation.pruned:
        return "-"
    return generation.lockfile.graft.description


def _weighted(skill: "Installed") -> str:
    return skill.ref if skill.weight == 1 else f"{skill.ref} x {skill.weight:g}"
