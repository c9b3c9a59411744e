"""`graft`: the installed set on the base."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import plain
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
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import LocalPath

if TYPE_CHECKING:
    from skillpm.flows.graft.graft import Grafted
    from skillpm.spec.names import SkillName


@click.command(cls=Command)
@click.option("-o", "--output", metavar="DIR", type=LocalPath(), help="Default: graft/.")
@click.option("--only", metavar="SKILL", type=SKILL, multiple=True, help="This skill alone.")
@click.option(
    "--link",
    is_flag=True,
    help="Hard-link untouched files, read-only: an edit of one edits the base.",
)
@click.option("--verify", is_flag=True, help="Hash the base again, past the leaf cache.")
@click.option("--fresh", is_flag=True, help="Take nothing over from the graft that is there.")
@TUNE
@BUDGET_OF_TUNE
@DEVICE_OF_TUNE
@click.pass_obj
def graft(
    state: State, /, output: Path | None, only: "tuple[SkillName, ...]", **flags: Any
) -> None:
    r"""Write base + installed skills as a model directory that transformers loads as it is.

    A graft that is there already is left alone where it is the same; else only the tensors that
    come out differently are computed, and files without any of these are taken over.

    \b
    skillpm graft
    skillpm graft -o ./served --link
    skillpm graft --tune --yes
    """
    device, budget = device_of(flags, "tune"), budget_of(flags)
    if flags["tune"]:
        named = {**flags, "only": only, "output": output}
        refuse_together(named, "tune", "only", "output", "link", "fresh", "verify")
        tune_weights(state, budget, device)
        return
    from skillpm.flows.graft.graft import graft as flow

    how = {name: flags[name] for name in ("link", "fresh", "verify")}
    _show(state, flow(command_session(state), output, only, **how))


def _show(state: State, done: "Grafted") -> None:
    if state.json:
        skills = [plain(one) for one in done.skills]
        emit_json(
            {
                "path": str(done.path),
                "root": str(done.root),
                "generation": done.generation,
                "skills": skills,
                "written_bytes": done.written_bytes,
                "linked_bytes": done.linked_bytes,
                "reused_bytes": done.reused_bytes,
                "unchanged": done.unchanged,
                "seconds": round(done.seconds, 3),
            }
        )
        return
    names = ", ".join(skill.ref for skill in done.skills) or "no skill: the base itself"
    verb = "already grafted" if done.unchanged else "grafted"
    emit_lines(f"{verb} {names}\n  into {clean(done.path)}\n  {done.root}")
    emit_line(
        f"  {size_text(done.written_bytes)} written, {size_text(done.linked_bytes)} shared "
        f"with the base, {size_text(done.reused_bytes)} reused, {done.seconds:.1f} s"
    )
