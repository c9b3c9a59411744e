"""`tree`, `why`, `outdated` and `diff`: requirements between skills, and changes of versions."""

import sys
from collections.abc import Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import moves, skill_document
from skillpm.cli.documents import EdgeDocument, NodeDocument, StepDocument
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table
from skillpm.cli.params import SKILL, TIMEOUT, plot_option
from skillpm.cli.state import Command, State, command_client
from skillpm.errors import NotFoundError, UsageError
from skillpm.files.errors import MissingFileError, WrongKindError
from skillpm.files.named import read_named_file
from skillpm.pictures.formats import check_picture
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.results import ComparedSet, Diff, Edges, Outdated, Relations
    from skillpm.environment.generation import Entry
    from skillpm.spec.names import SkillName

_ANY = "any"
_BRANCHES = {True: ("├── ", "└── ", "│   "), False: ("|-- ", "`-- ", "|   ")}


@click.command(cls=Command)
@click.argument("skills", metavar="[SKILL]...", type=SKILL, nargs=-1)
@click.option("-i", "--invert", is_flag=True, help="Show the skills that require each skill.")
@click.option(
    "--depth", metavar="N", type=click.IntRange(min=0), help="Levels to show (default: all)."
)
@plot_option("Draw the tree: base, layers, requirements, lineage.")
@click.pass_obj
def tree(
    state: State,
    skills: "tuple[SkillName, ...]",
    *,
    invert: bool,
    depth: int | None,
    plot: Path | None,
) -> None:
    r"""Show the dependency tree of the installed skills.

    The roots are the skills in skillpm.toml, or the given SKILLs. The requirements of a skill are
    shown once; where the skill appears again, it is marked (*). --plot draws the same skills, with
    the base, the packs that each pack is built on, and the releases that it is derived from.

    \b
    Examples:
      skillpm tree
      skillpm tree acme/math --depth 1
      skillpm tree --invert acme/numbers
      skillpm tree --plot tree.svg
    """
    from skillpm.api.reading import plot_relations, read_relations

    if plot is not None:
        check_picture(plot)
    client = command_client(state)
    relations = read_relations(client, skills)
    roots = list(skills) or (relations.lowest if invert else list(relations.requirements))
    if plot is not None:
        shown = relations.reached(roots, invert=invert, depth=depth)
        plot_relations(client, relations, shown, plot)
        state.say(f"wrote {clean(plot)}")
    if state.json:
        head = {"roots": [str(root) for root in roots], "generation": relations.generation}
        emit_json({**head, "skills": _nodes(relations), "notes": list(relations.notes)})
        return
    for note in relations.notes:
        state.say(note)
    for line in _lines(relations, roots, invert=invert, depth=depth):
        emit_line(line)
    if not relations.skills:
        emit_line("no skills are installed")


def _nodes(relations: "Relations") -> list[NodeDocument]:
    return [
        {
            **skill_document(entry),
            "wanted": relations.requirements.get(skill),
            "requires": _edges(relations.requires[skill]),
            "required_by": _edges(relations.required_by[skill]),
        }
        for skill, entry in relations.skills.items()
    ]


def _edges(edges: "Edges") -> list[EdgeDocument]:
    return [{"skill": str(skill), "requirement": range_} for skill, range_ in edges.items()]


def _lines(
    relations: "Relations", roots: "list[SkillName]", *, invert: bool, depth: int | None
) -> Iterator[str]:
    """The lines of the tree. Uses a stack, because a chain can exceed the recursion limit."""
    edges = relations.required_by if invert else relations.requires
    branches = _BRANCHES["utf" in (sys.stdout.encoding or "utf-8").lower()]
    expanded: set[SkillName] = set()
    for root in roots:
        stack = [(root, relations.requirements.get(root, "") if not invert else "", "", "", 0)]
        while stack:
            skill, range_, lead, branch, level = stack.pop()
            children = edges[skill]
            mark = " (*)" if skill in expanded and children else ""
            required = f" ({_ANY if range_ == '*' else range_})" if range_ else ""
            yield f"{lead}{branch}{relations.skills[skill].ref}{required}{mark}"
            if mark or level == depth:
                continue
            expanded.add(skill)
            inner = lead + ("" if not branch else "    " if branch == branches[1] else branches[2])
            for place, (child, child_range) in enumerate(list(children.items())[::-1]):
                stack.append((child, child_range, inner, branches[place == 0], level + 1))


@click.command(cls=Command)
@click.argument("skill", type=SKILL)
@click.pass_obj
def why(state: State, skill: "SkillName") -> None:
    r"""Show why a skill is installed.

    For each skill in skillpm.toml that requires it, directly or through other skills, shows the
    shortest chain of requirements.

    \b
    Example:
      skillpm why acme/numbers
    """
    from skillpm.api.reading import read_relations

    relations = read_relations(command_client(state))
    chains = relations.chains(skill)
    entry = relations.skills[skill]
    if state.json:
        paths = [
            [_step(relations, chain, place) for place in range(len(chain))] for chain in chains
        ]
        wanted = relations.requirements.get(skill)
        emit_json({**skill_document(entry), "wanted": wanted, "paths": paths})
        return
    emit_line(f"{entry.ref} is installed because")
    for chain in chains:
        emit_lines(f"\n  skillpm.toml requires {chain[0]} {relations.requirements[chain[0]]}")
        for requiring, required in pairwise(chain):
            range_ = relations.requires[requiring][required]
            emit_line(f"  {relations.skills[requiring].ref} requires {required} {range_}")


def _step(relations: "Relations", chain: "tuple[SkillName, ...]", place: int) -> StepDocument:
    skill = chain[place]
    range_ = relations.requires[chain[place - 1]][skill] if place else relations.requirements[skill]
    return {**skill_document(relations.skills[skill]), "requirement": range_}


@click.command(cls=Command)
@click.option("--exit-code", is_flag=True, help="Exit with 1 if a skill is outdated.")
@TIMEOUT
@click.pass_obj
def outdated(state: State, /, *, timeout: float, exit_code: bool) -> None:
    r"""List installed skills that have newer releases.

    Shows the installed version, the version that `upgrade` would install (wanted), the latest
    version, and what holds a skill back.

    \b
    Examples:
      skillpm outdated
      skillpm outdated --exit-code --json
    """
    from skillpm.api.reading import list_outdated

    report = list_outdated(command_client(state, timeout=timeout))
    for note in report.notes:
        state.say(note)
    for release in report.skipped:
        state.say(f"note: {release.note}")
    if state.json:
        rows = [_outdated_document(entry) for entry in report.outdated]
        unlisted = [str(skill) for skill in report.unlisted]
        head = {"checked": report.checked, "unlisted": unlisted, "notes": list(report.notes)}
        skipped = [release.to_dict() for release in report.skipped]
        emit_json({"outdated": rows, **head, "skipped": skipped})
    elif report.outdated:
        columns = ("skill", "current", "wanted", "latest", "held back by")
        emit_table(map(_outdated_row, report.outdated), columns)
    elif report.unlisted:
        names = ", ".join(map(str, report.unlisted))
        emit_line(f"no newer releases are known; no reachable registry lists {names}")
    else:
        count = counted(report.checked, "skill is up to date", "skills are up to date")
        emit_line(count if report.checked == 1 else f"all {count}")
    if exit_code and report.outdated:
        raise click.exceptions.Exit(1)


def _outdated_row(entry: "Outdated") -> tuple[object, ...]:
    state = "quarantined" if entry.quarantined else "yanked" if entry.yanked else ""
    current = f"{entry.current} ({state})" if state else entry.current
    held_by = "; ".join(entry.held_by) or "-"
    return entry.skill, current, entry.wanted or "-", entry.latest or "-", held_by


def _outdated_document(entry: "Outdated") -> dict[str, object]:
    return {
        "skill": str(entry.skill),
        "current": str(entry.current),
        "wanted": str(entry.wanted) if entry.wanted else None,
        "latest": str(entry.latest) if entry.latest else None,
        "yanked": entry.yanked,
        "quarantined": entry.quarantined,
        "held_by": list(entry.held_by),
        "holds": [hold.to_dict() for hold in entry.holds],
    }


@click.command(cls=Command)
@click.argument("before", metavar="A")
@click.argument("after", metavar="[B]", required=False)
@click.pass_obj
def diff(state: State, before: str, after: str | None) -> None:
    r"""Compare two generations or lockfiles.

    A and B are a generation's number, a lockfile, or `-` for a lockfile on stdin. B defaults to the
    current generation.

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
    parts = {"added": result.added, "removed": result.removed}
    skills = {key: [skill_document(skill) for skill in part] for key, part in parts.items()}
    emit_json(
        {
            **skills,
            "changed": [_changed_document(old, new) for old, new in result.changed],
            "base": None if bases[0] == bases[1] else {"from": bases[0], "to": bases[1]},
            "graft": {"from": result.merge_options[0], "to": result.merge_options[1]}
            if regrafted
            else None,
        }
    )


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


def _changed_document(old: "Entry", new: "Entry") -> Mapping[str, object]:
    before = {"from": str(old.version), "from_digest": str(old.digest)}
    return {**skill_document(new), **before, "weight": new.weight, "from_weight": old.weight}
