"""`tree`, `why`, `outdated`, `diff`: how what is installed hangs together, and what has moved."""

import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import moves, plain
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.params import SKILL, TIMEOUT
from skillpm.cli.state import Command, State, command_session
from skillpm.errors import NotFoundError, UsageError
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.files.named import read_named_file
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.environment.generation import Entry
    from skillpm.flows.inspect.listing import ComparedSet
    from skillpm.flows.inspect.outdated import Outdated
    from skillpm.flows.inspect.relations import Edges, Relations
    from skillpm.spec.names import SkillName

_ANY = "any"
_BRANCHES = {True: ("├── ", "└── ", "│   "), False: ("|-- ", "`-- ", "|   ")}


@click.command(cls=Command)
@click.argument("skills", metavar="[SKILL]...", type=SKILL, nargs=-1)
@click.option("-i", "--invert", is_flag=True, help="Show what requires a skill, not what it needs.")
@click.option("--depth", metavar="N", type=click.IntRange(min=0), help="Show N levels at most.")
@click.pass_obj
def tree(state: State, skills: "tuple[SkillName, ...]", *, invert: bool, depth: int | None) -> None:
    r"""Show what is installed as a tree of who requires whom.

    Roots are the skills that skillpm.toml asks for, or those named. What was shown before is shown
    again without what is below it, marked (*).

    \b
    skillpm tree
    skillpm tree acme/math --depth 1
    skillpm tree --invert acme/numbers
    """
    from skillpm.flows.inspect.relations import relations_of
    from skillpm.flows.locking.lock_check import not_installed

    found = relations_of(state.folder)
    for skill in skills:
        if skill not in found.skills:
            raise not_installed(skill, found.skills)
    roots = list(skills) or (found.lowest if invert else list(found.requirements))
    if state.json:
        emit_json({"roots": [str(root) for root in roots], **_graph(found)})
        return
    for note in found.notes:
        state.say(note)
    for line in _lines(found, roots, invert=invert, depth=depth):
        emit_line(line)
    if not found.skills:
        emit_line("nothing is installed")


def _graph(found: "Relations") -> dict[str, Any]:
    rows = [
        {
            **plain(one),
            "wanted": found.requirements.get(skill),
            "requires": _edges(found.requires[skill]),
            "required_by": _edges(found.required_by[skill]),
        }
        for skill, one in found.skills.items()
    ]
    return {"generation": found.generation, "skills": rows, "notes": list(found.notes)}


def _edges(edges: "Edges") -> list[dict[str, str]]:
    return [{"skill": str(skill), "requirement": range_} for skill, range_ in edges.items()]


def _lines(
    found: "Relations", roots: "list[SkillName]", *, invert: bool, depth: int | None
) -> Iterator[str]:
    """The tree line by line; without recursion, since a chain may be long."""
    edges = found.required_by if invert else found.requires
    branches = _BRANCHES["utf" in (sys.stdout.encoding or "utf-8").lower()]
    seen: set[SkillName] = set()
    for root in roots:
        stack = [(root, found.requirements.get(root, "") if not invert else "", "", "", 0)]
        while stack:
            skill, range_, lead, branch, level = stack.pop()
            below = edges[skill]
            again = " (*)" if skill in seen and below else ""
            asked = f" ({_ANY if range_ == '*' else range_})" if range_ else ""
            yield f"{lead}{branch}{found.skills[skill].ref}{asked}{again}"
            if again or level == depth:
                continue
            seen.add(skill)
            inner = lead + ("" if not branch else "    " if branch == branches[1] else branches[2])
            others = list(below.items())[::-1]
            for place, (other, need) in enumerate(others):
                stack.append((other, need, inner, branches[place == 0], level + 1))


@click.command(cls=Command)
@click.argument("skill", type=SKILL)
@click.pass_obj
def why(state: State, skill: "SkillName") -> None:
    r"""Say why a skill is installed: for each wish that leads to it, the shortest way.

    \b
    skillpm why acme/numbers
    """
    from skillpm.flows.inspect.relations import relations_of

    found = relations_of(state.folder)
    chains = found.chains(skill)
    one = found.skills[skill]
    if state.json:
        paths = [[_step(found, way, place) for place in range(len(way))] for way in chains]
        emit_json({**plain(one), "wanted": found.requirements.get(skill), "paths": paths})
        return
    emit_line(f"{one.ref} is installed because")
    for way in chains:
        emit_lines(f"\n  skillpm.toml asks for {way[0]} {found.requirements[way[0]]}")
        for above, below in pairwise(way):
            range_ = found.requires[above][below]
            emit_line(f"  {found.skills[above].ref} requires {below} {range_}")


def _step(found: "Relations", way: "tuple[SkillName, ...]", place: int) -> dict[str, str]:
    skill = way[place]
    asked = found.requires[way[place - 1]][skill] if place else found.requirements[skill]
    return {**plain(found.skills[skill]), "requirement": asked}


@click.command(cls=Command)
@click.option("--exit-code", is_flag=True, help="Exit with 1 where anything is outdated.")
@TIMEOUT
@click.pass_obj
def outdated(state: State, /, timeout: float, *, exit_code: bool) -> None:
    r"""List what has newer releases: the locked, what `upgrade` would take, and the newest.

    \b
    skillpm outdated
    skillpm outdated --exit-code --json
    """
    from skillpm.flows.inspect.outdated import survey

    found = survey(command_session(state, timeout=timeout))
    for note in found.notes:
        state.say(note)
    for one in found.skipped:
        state.say(f"note: {one.note}")
    if state.json:
        rows = [_outdated(one) for one in found.outdated]
        unlisted = [str(skill) for skill in found.unlisted]
        head = {"checked": found.checked, "unlisted": unlisted, "notes": list(found.notes)}
        skipped = [one.to_dict() for one in found.skipped]
        emit_json({"outdated": rows, **head, "skipped": skipped})
    elif found.outdated:
        head_row = ("skill", "current", "wanted", "latest", "held back by")
        emit_table(map(_outdated_row, found.outdated), head_row)
    elif found.unlisted:
        names = ", ".join(map(str, found.unlisted))
        emit_line(f"nothing newer is known; no registry in reach lists {names}")
    else:
        every = counted(
            found.checked, "skill is the newest there is", "skills are the newest there are"
        )
        emit_line(every if found.checked == 1 else f"all {every}")
    if exit_code and found.outdated:
        raise click.exceptions.Exit(1)


def _outdated_row(one: "Outdated") -> tuple[object, ...]:
    current = f"{one.current} (yanked)" if one.yanked else one.current
    return one.skill, current, one.wanted or "-", one.latest or "-", "; ".join(one.held_by) or "-"


def _outdated(one: "Outdated") -> dict[str, object]:
    return {
        "skill": str(one.skill),
        "current": str(one.current),
        "wanted": str(one.wanted) if one.wanted else None,
        "latest": str(one.latest) if one.latest else None,
        "yanked": one.yanked,
        "held_by": list(one.held_by),
        "holds": [hold.to_dict() for hold in one.holds],
    }


@click.command(cls=Command)
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.pass_obj
def diff(state: State, before: str, after: str | None) -> None:
    r"""Say what differs between two sets, each a generation's number or a lockfile.

    Without B, what is installed now. `-` reads a lockfile from stdin.

    \b
    skillpm diff 1 2
    skillpm diff 3
    skillpm diff ../other/skillpm.lock skillpm.lock
    git show HEAD~1:skillpm.lock | skillpm diff - skillpm.lock
    """
    from skillpm.flows.inspect.listing import diff as flow

    found = flow(_side(state, before), _side(state, after))
    bases = [str(base) for base in found.bases]
    regrafted = None not in found.manners and found.manners[0] != found.manners[1]
    if state.json:
        changed = [_moved(old, new) for old, new in found.changed]
        parts = {"added": found.added, "removed": found.removed}
        document = {key: [plain(one) for one in several] for key, several in parts.items()}
        moved = None if bases[0] == bases[1] else {"from": bases[0], "to": bases[1]}
        grafted = None if not regrafted else dict(zip(("from", "to"), found.manners, strict=True))
        emit_json({**document, "changed": changed, "base": moved, "graft": grafted})
        return
    if bases[0] != bases[1]:
        emit_line(f" ! base {found.bases[0].short} -> {found.bases[1].short}")
    for sign, several in (("+", found.added), ("-", found.removed)):
        for one in several:
            emit_line(f" {sign} {one.skill} {one.version}")
    for old, new in found.changed:
        emit_line(f" ~ {new.skill} {moves(old, new)}")
    if regrafted:
        emit_line(f" ! graft {' -> '.join(_manner(one) for one in found.manners)}")
    same = not (found.added or found.removed or found.changed or regrafted)
    if same and bases[0] == bases[1]:
        emit_line("the same set")


def _side(state: State, text: str | None) -> "ComparedSet":
    """A set that the person names."""
    from skillpm.flows.inspect.listing import generation_side, lock_side

    if text is None or (text.isascii() and text.isdigit()):
        return generation_side(state.folder, None if text is None else int(text))
    if text == "-":
        return lock_side(sys.stdin.buffer.read(), "the lock on stdin")
    path = Path(text)
    try:
        return lock_side(read_named_file(path), f"`{path}`")
    except MissingFileError as problem:
        raise NotFoundError(
            f"there is no lockfile `{clean(text)}`, and it is no generation's number",
            hint="`skillpm history` lists the generations",
        ) from problem
    except WrongKindError as problem:
        if not path.is_dir():
            raise
        raise UsageError(
            f"`{clean(text)}` is a folder", hint=f"`{clean(path / 'skillpm.lock')}`"
        ) from problem


def _manner(manner: "Mapping[str, Any] | None") -> str:
    """How a set is grafted, in one line: `merged ties density=0.2 scale=1.0`."""
    plain = manner or {}
    settings = [f"{name}={value}" for name, value in plain.get("settings", {}).items()]
    return clean(" ".join([plain.get("mode", ""), plain.get("method", ""), *settings]))


def _moved(old: "Entry", new: "Entry") -> Mapping[str, object]:
    came = {"from": str(old.version), "from_digest": str(old.digest)}
    return {**plain(new), **came, "weight": new.weight, "from_weight": old.weight}
