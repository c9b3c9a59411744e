"""`graft`: write the base with the installed skills as a model folder."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.changes import skill_document
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines, size_text
from skillpm.cli.params import SKILL, refuse_together
from skillpm.cli.probing import (
    BUDGET_OF_TUNE,
    DEVICE_OF_TUNE,
    TUNE,
    budget_of,
    device_of,
    tune_weights,
)
from skillpm.cli.result_documents import GraftDocument
from skillpm.cli.state import Command, State, command_project
from skillpm.cli.types import LocalPath

if TYPE_CHECKING:
    from skillpm.api.values import GraftResult
    from skillpm.spec.names import SkillName


@click.command(cls=Command)
@click.option(
    "-o", "--output", metavar="DIR", type=LocalPath(), help="Folder to write (default: graft/)."
)
@click.option(
    "--only",
    metavar="SKILL",
    type=SKILL,
    multiple=True,
    help="Graft only this skill; repeatable (default: all).",
)
@click.option(
    "--link",
    is_flag=True,
    help="Hard-link unchanged files to the base, read-only, instead of copying them.",
)
@click.option("--verify", is_flag=True, help="Hash the base again instead of using the leaf cache.")
@click.option("--fresh", is_flag=True, help="Reuse nothing from an existing graft.")
@TUNE
@BUDGET_OF_TUNE
@DEVICE_OF_TUNE
@click.pass_obj
def graft(
    state: State,
    /,
    *,
    output: Path | None,
    only: "tuple[SkillName, ...]",
    link: bool,
    verify: bool,
    fresh: bool,
    tune: bool,
    budget: int | None,
    device: str | None,
) -> None:
    r"""Write the base with the installed skills as a model.

    transformers loads the folder without skillpm. An existing graft is reused: if it is up to date,
    nothing is written, else only the tensors that change are computed and written. With
    --link, unchanged files are hard links: editing one edits the base.

    \b
    Examples:
      skillpm graft
      skillpm graft -o ./served --link
      skillpm graft --tune --yes
    """
    used_device = device_of(device, flag="tune", runs=tune)
    trials = budget_of(budget, tune=tune)
    if tune:
        refuse_together(
            "tune", tune, only=only, output=output, link=link, fresh=fresh, verify=verify
        )
        tune_weights(state, trials, used_device)
        return
    grafted = command_project(state).graft(output, only=only, link=link, fresh=fresh, verify=verify)
    _show(state, grafted)


def _show(state: State, grafted: "GraftResult") -> None:
    if state.json:
        document: GraftDocument = {
            "path": str(grafted.path),
            "root": grafted.root,
            "generation": grafted.generation,
            "skills": [skill_document(skill) for skill in grafted.releases],
            "written_bytes": grafted.written_bytes,
            "linked_bytes": grafted.linked_bytes,
            "reused_bytes": grafted.reused_bytes,
            "unchanged": grafted.unchanged,
            "seconds": round(grafted.seconds, 3),
        }
        emit_json(document)
        return
    names = ", ".join(release.ref for release in grafted.releases) or "no skill: the base itself"
    verb = "already grafted" if grafted.unchanged else "grafted"
    emit_lines(f"{verb} {names}\n  into {clean(grafted.path)}\n  {grafted.root}")
    emit_line(
        f"  {size_text(grafted.written_bytes)} written, {size_text(grafted.linked_bytes)} shared "
        f"with the base, {size_text(grafted.reused_bytes)} reused, {grafted.seconds:.1f} s"
    )
