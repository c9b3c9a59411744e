"""`diff`: what differs between two generations or lockfiles."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import moves
from skillpm.cli.output import clean, emit_json, emit_line, skill_document
from skillpm.cli.relation_documents import DiffDocument, MovedDocument
from skillpm.cli.state import Command, State, command_client
from skillpm.errors import NotFoundError, UsageError
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.files.named import read_named_file

if TYPE_CHECKING:
    from skillpm.api.results import ComparedSet, Diff
    from skillpm.environment.generation import Entry


@click.command(cls=Command)
@click.argument(
    "before", metavar="A", help="Number of a generation, lockfile, or `-` for a lockfile on stdin."
)
@click.argument(
    "after", metavar="[B]", required=False, help="The same (default: the current generation)."
)
@click.pass_obj
def diff(state: State, before: str, after: str | None) -> None:
    r"""Compare two generations or lockfiles.

    Lists the skills that B adds, removes and changes, and other bases and graft settings.

    \b
    Examples:
      skillpm diff 1 2
      skillpm diff 3
      skillpm diff ../other/skillpm.lock skillpm.lock
      git show HEAD~1:skillpm.lock | skillpm diff - skillpm.lock
    """
    from skillpm.api.reading import compare_sets

    result = compare_sets(_side(state, before), _side(state, after))
    regrafted = (
        None not in result.merge_options and result.merge_options[0] != result.merge_options[1]
    )
    if state.json:
        _emit_diff(result, regrafted=regrafted)
        return
    rebased = result.bases[0] != result.bases[1]
    if rebased:
        emit_line(f" ! base {result.bases[0].short} -> {result.bases[1].short}")
    for sign, skills in (("+", result.added), ("-", result.removed)):
        for skill in skills:
            emit_line(f" {sign} {skill.skill} {skill.version}")
    for old, new in result.changed:
        emit_line(f" ~ {new.skill} {moves(old, new)}")
    if regrafted:
        emit_line(f" ! graft {' -> '.join(map(_merge_text, result.merge_options))}")
    if not (rebased or regrafted or result.added or result.removed or result.changed):
        emit_line("no differences")


def _emit_diff(result: "Diff", *, regrafted: bool) -> None:
    bases = [str(base) for base in result.bases]
    document: DiffDocument = {
        "added": list(map(skill_document, result.added)),
        "removed": list(map(skill_document, result.removed)),
        "changed": [_changed_document(old, new) for old, new in result.changed],
        "base": None if bases[0] == bases[1] else {"from": bases[0], "to": bases[1]},
        "graft": {"from": result.merge_options[0], "to": result.merge_options[1]}
        if regrafted
        else None,
    }
    emit_json(document)


def _side(state: State, text: str | None) -> "ComparedSet":
    """The generation or lockfile that an argument names."""
    from skillpm.api.reading import generation_set, lock_set

    if text is None or (text.isascii() and text.isdigit()):
        return generation_set(command_client(state), None if text is None else int(text))
    if text == "-":
        return lock_set(sys.stdin.buffer.read(), "the lock on stdin")
    path = Path(text)
    try:
        return lock_set(read_named_file(path), f"`{path}`")
    except MissingFileError as problem:
        raise NotFoundError(
            f"`{clean(text)}` is neither a lockfile nor the number of a generation",
            hint="`skillpm history` lists the generations",
        ) from problem
    except WrongKindError as problem:
        if not path.is_dir():
            raise
        raise UsageError(
            f"`{clean(text)}` is a folder; expected a lockfile or the number of a generation",
            hint=f"`{clean(path / 'skillpm.lock')}`",
        ) from problem


def _merge_text(options: "Mapping[str, Any] | None") -> str:
    """The graft settings in one line: `merged ties density=0.2 scale=1.0`."""
    graft = options or {}
    settings = [f"{name}={value}" for name, value in graft.get("settings", {}).items()]
    return clean(" ".join([graft.get("mode", ""), graft.get("method", ""), *settings]))


def _changed_document(old: "Entry", new: "Entry") -> MovedDocument:
    return {
        "skill": str(new.skill),
        "version": str(new.version),
        "digest": str(new.digest),
        "from": str(old.version),
        "from_digest": str(old.digest),
        "weight": new.weight,
        "from_weight": old.weight,
    }
