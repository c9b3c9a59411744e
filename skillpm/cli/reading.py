"""`list`, `history`, `resolve`: commands that only read."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import plain
from skillpm.cli.output import emit_json, emit_line, emit_table, size_text, verified_text
from skillpm.cli.params import ALLOW_YANKED, LOWEST, REQUIREMENT, TIMEOUT
from skillpm.cli.state import Command, State, verified_packs
from skillpm.cli.types import LocalPath
from skillpm.errors import SpecError, UsageError

if TYPE_CHECKING:
    from skillpm.environment.generation import Generation, Installed
    from skillpm.spec.digests import Digest


@click.command("list", cls=Command)
@click.pass_obj
def list_(state: State) -> None:
    r"""List what is installed.

    \b
    skillpm list
    """
    from skillpm.flows.inspect.listing import list_installed

    found = list_installed(state.folder)
    generation = found.generation
    skills = generation.installed.values()
    verified = verified_packs(state)
    rows = [_installed_row(one, verified.holds(one.digest, generation.base_root)) for one in skills]
    if state.json:
        head = {"generation": generation.number, "base_root": str(generation.base_root)}
        emit_json({**head, "skills": rows, "notes": list(found.notes)})
        return
    for note in found.notes:
        state.say(note)
    emit_line(f"generation {generation.number} on base {generation.base_root.short}")
    if skills:
        emit_line()
        head_ = ("skill", "version", "scheme", "payload", "weight", "registry", "verified")
        emit_table([_shown_row(row) for row in rows], head_)
    else:
        emit_line("nothing is installed")


def _installed_row(installed: "Installed", verified: bool) -> dict[str, Any]:  # noqa: FBT001 - a fact of the row
    return {
        **plain(installed),
        "scheme": installed.scheme,
        "registry": installed.registry,
        "payload_bytes": installed.payload_bytes,
        "weight": installed.weight,
        "verified": verified,
    }


def _shown_row(row: dict[str, Any]) -> tuple[object, ...]:
    names = ("skill", "version", "scheme", "payload_bytes", "weight", "registry", "verified")
    shown = dict(row, payload_bytes=size_text(row["payload_bytes"]))
    return tuple({**shown, "verified": verified_text(row["verified"])}[name] for name in names)


@click.command(cls=Command)
@click.pass_obj
def history(state: State) -> None:
    r"""List the generations of this project, and how each is grafted.

    \b
    skillpm history
    """
    from skillpm.flows.inspect.listing import history as flow

    found = flow(state.folder)
    if state.json:
        rows = [
            {
                "number": one.number,
                "created": one.created,
                "action": one.action,
                "skills": [plain(skill) for skill in one.installed.values()],
                "graft": None if one.pruned else one.lockfile.graft.merge_options,
                "pruned": one.pruned,
            }
            for one in found.generations
        ]
        emit_json({"current": found.current, "generations": rows})
        return
    table = [
        (
            one.number,
            "*" if one.number == found.current else "pruned" if one.pruned else "",
            one.created,
            one.action,
            _manner(one),
            ", ".join(map(_weighted, one.installed.values())) or "-",
        )
        for one in found.generations
    ]
    emit_table(table, ("generation", "", "created", "action", "graft", "skills"))


def _manner(generation: "Generation") -> str:
    """How a generation is grafted: `sum`, `ties density=0.5`, `routed`; `-` where it was pruned."""
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
    help="A saved index, as JSON.",
)
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.argument("requirements", metavar="REQ...", type=REQUIREMENT, nargs=-1, required=True)
@click.pass_obj
def resolve(state: State, /, index: Path, timeout: float, **asked: Any) -> None:
    r"""Resolve against a saved index: no registry, base or project. For bug reports.

    With --base sha256:…, only releases that were cut from the base of this root.

    \b
    skillpm resolve --index index.json "acme/math ^1"
    skillpm resolve --index index.json acme/math --lowest --base sha256:…
    """
    import time

    from skillpm.flows.locking.resolve_index import SavedRequest, resolve_saved
    from skillpm.resolver.patience import Deadline

    request = SavedRequest(root=_root(state), **asked)
    found = resolve_saved(index, request, Deadline.starting(time.monotonic, timeout))
    if state.json:
        emit_json({"resolved": {str(skill): str(version) for skill, version in found.items()}})
        return
    for skill, version in found.items():
        emit_line(f"{skill} {version}")


def _root(state: State) -> "Digest | None":
    """What `--base` names here: a root, for no base is looked at. A path in SKILLPM_BASE is not."""
    from skillpm.spec.digests import Digest

    text = str(state.base or "")
    if not text or text == os.environ.get("SKILLPM_BASE"):
        return None
    try:
        return Digest(text)
    except SpecError as problem:
        raise UsageError(
            f"`--base` should be a root here, `sha256:…`, is {text!r}",
            hint="`skillpm identify PATH` tells a model's root",
        ) from problem
