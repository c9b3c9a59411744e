"""`list`, `history` and `resolve`: commands that only read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.changes import skill_document
from skillpm.cli.documents import InstalledDocument
from skillpm.cli.output import emit_json, emit_line, emit_table, size_text, verified_text
from skillpm.cli.params import LOWEST, REQUIREMENT, TIMEOUT
from skillpm.cli.result_documents import (
    GenerationDocument,
    HistoryDocument,
    ListDocument,
    ResolvedDocument,
)
from skillpm.cli.state import Command, State, command_client, verified_packs
from skillpm.cli.types import LocalPath
from skillpm.errors import SpecError, UsageError

if TYPE_CHECKING:
    from skillpm.environment.generation import Generation, Installed
    from skillpm.spec.digests import Digest
    from skillpm.spec.requirements import Requirement


@click.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    r"""List the installed skills.

    \b
    Example:
      skillpm list
    """
    from skillpm.api.reading import list_installed

    listing = list_installed(command_client(state))
    generation = listing.generation
    verified = verified_packs(state)
    skills = [
        _installed(skill, verified=verified.holds(skill.digest, generation.base_root))
        for skill in generation.installed.values()
    ]
    if state.json:
        document: ListDocument = {
            "generation": generation.number,
            "base_root": str(generation.base_root),
            "skills": skills,
            "notes": list(listing.notes),
        }
        emit_json(document)
        return
    for note in listing.notes:
        state.say(note)
    emit_line(f"generation {generation.number} on base {generation.base_root.short}")
    if skills:
        emit_line()
        columns = ("skill", "version", "scheme", "payload", "weight", "registry", "verified")
        emit_table([_row(skill) for skill in skills], columns)
    else:
        emit_line("no skills are installed")


def _installed(installed: "Installed", *, verified: bool) -> InstalledDocument:
    return {
        **skill_document(installed),
        "scheme": installed.scheme,
        "registry": installed.registry,
        "payload_bytes": installed.payload_bytes,
        "weight": installed.weight,
        "verified": verified,
    }


def _row(skill: InstalledDocument) -> tuple[object, ...]:
    return (
        skill["skill"],
        skill["version"],
        skill["scheme"],
        size_text(skill["payload_bytes"]),
        skill["weight"],
        skill["registry"],
        verified_text(skill["verified"]),
    )


@click.command(cls=Command)
@click.pass_obj
def history(state: State) -> None:
    r"""List the generations of the project.

    Each generation is shown with its action, its skills and its graft settings. The current one
    has a `*`.

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
    graft = generation.lockfile.graft
    if graft.routed:
        return graft.mode
    return " ".join([graft.method, *(f"{key}={value}" for key, value in graft.settings.items())])


def _weighted(skill: "Installed") -> str:
    return skill.ref if skill.weight == 1 else f"{skill.ref} x {skill.weight:g}"


@click.command(cls=Command)
@click.option(
    "--index",
    metavar="FILE",
    required=True,
    type=LocalPath(),
    help="Saved index, a JSON file.",
)
@click.option("--allow-yanked", is_flag=True, help="Allow yanked releases.")
@LOWEST
@TIMEOUT
@click.argument("requirements", metavar="REQ...", type=REQUIREMENT, nargs=-1, required=True)
@click.pass_obj
def resolve(
    state: State,
    /,
    *,
    index: Path,
    allow_yanked: bool,
    lowest: bool,
    timeout: float,
    requirements: "tuple[Requirement, ...]",
) -> None:
    r"""Resolve requirements against a saved index.

    Uses no registry, base or project, so that a bug report can contain the whole input. With --base
    sha256:…, only releases for the base with this root are considered.

    \b
    Examples:
      skillpm resolve --index index.json "acme/math ^1"
      skillpm resolve --index index.json acme/math --lowest --base sha256:…
    """
    from skillpm.api.reading import resolve_saved

    versions = resolve_saved(
        index,
        requirements,
        timeout=timeout,
        root=_root(state),
        allow_yanked=allow_yanked,
        lowest=lowest,
    )
    if state.json:
        document: ResolvedDocument = {
            "resolved": {str(skill): str(version) for skill, version in versions.items()}
        }
        emit_json(document)
        return
    for skill, version in versions.items():
        emit_line(f"{skill} {version}")


def _root(state: State) -> "Digest | None":
    """The root that `--base` names; a path in SKILLPM_BASE is ignored. Raises `UsageError`."""
    from skillpm.spec.digests import Digest

    text = str(state.base or "")
    if not text or text == os.environ.get("SKILLPM_BASE"):
        return None
    try:
        return Digest(text)
    except SpecError as problem:
        raise UsageError(
            f"`resolve --base` expects a root such as `sha256:…`, found {text!r}",
            hint="`skillpm identify PATH` shows the root of a model",
        ) from problem
