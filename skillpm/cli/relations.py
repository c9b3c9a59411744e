"""`tree`, `why` and `outdated`: requirements between skills, and newer releases."""

import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.documents import EdgeDocument, NodeDocument, StepDocument
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, emit_table, skill_document
from skillpm.cli.params import SKILL, TIMEOUT, plot_option
from skillpm.cli.relation_documents import (
    OutdatedDocument,
    OutdatedSkill,
    TreeDocument,
    WhyDocument,
)
from skillpm.cli.state import Command, State, command_client
from skillpm.pictures.formats import check_picture
from skillpm.spec.words import counted

if TYPE_CHECKING:
    from skillpm.api.results import Edges, Outdated, OutdatedReport, Relations
    from skillpm.spec.names import SkillName

_ANY = "any"
_BRANCHES = {True: ("├── ", "└── ", "│   "), False: ("|-- ", "`-- ", "|   ")}


@click.command(cls=Command)
@click.argument(
    "skills",
    metavar="[SKILL]...",
    type=SKILL,
    nargs=-1,
    help="Installed skills to start from (default: those in skillpm.toml).",
)
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
        plot_relations(client, relations, relations.reached(roots, invert, depth), plot)
        state.say(f"wrote {clean(plot)}")
    if state.json:
        emit_json(_tree_document(relations, roots))
        return
    for note in relations.notes:
        state.say(note)
    for line in _lines(relations, roots, invert=invert, depth=depth):
        emit_line(line)
    if not relations.skills:
        emit_line("no skills are installed")


def _tree_document(relations: "Relations", roots: "list[SkillName]") -> TreeDocument:
    return {
        "roots": [str(root) for root in roots],
        "generation": relations.generation,
        "skills": _nodes(relations),
        "notes": list(relations.notes),
    }


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
@click.argument("skill", type=SKILL, help="Installed skill.")
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
        document: WhyDocument = {
            **skill_document(entry),
            "wanted": relations.requirements.get(skill),
            "paths": paths,
        }
        emit_json(document)
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
        emit_json(_outdated_report(report))
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


def _outdated_report(report: "OutdatedReport") -> OutdatedDocument:
    return {
        "outdated": [_outdated_document(entry) for entry in report.outdated],
        "checked": report.checked,
        "unlisted": [str(skill) for skill in report.unlisted],
        "notes": list(report.notes),
        "skipped": [
            {"skill": str(each.skill), "version": str(each.version), "reason": each.reason}
            for each in report.skipped
        ],
    }


def _outdated_document(entry: "Outdated") -> OutdatedSkill:
    return {
        "skill": str(entry.skill),
        "current": str(entry.current),
        "wanted": str(entry.wanted) if entry.wanted else None,
        "latest": str(entry.latest) if entry.latest else None,
        "yanked": entry.yanked,
        "quarantined": entry.quarantined,
        "held_by": list(entry.held_by),
        "holds": [
            {"by": hold.by, "requirement": hold.requirement, "statement": hold.statement}
            for hold in entry.holds
        ],
    }
