"""`graft`, `audit`: the installed set on the base, and whether it can be trusted."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import clean, emit_json, emit_table, size_text
from skillpm.cli.params import SKILL
from skillpm.cli.state import Command, State, make_setting

if TYPE_CHECKING:
    from skillpm.spec.names import SkillName

_LEVELS = ["low", "medium", "high", "critical"]


@click.command(cls=Command)
@click.option(
    "-o", "--output", metavar="DIR", type=click.Path(path_type=Path), help="Default: graft/."
)
@click.option("--only", metavar="SKILL", type=SKILL, multiple=True, help="This skill alone.")
@click.option("--link", is_flag=True, help="Hard-link files that do not change.")
@click.option("--fresh", is_flag=True, help="Take nothing over from the graft that is there.")
@click.pass_obj
def graft(
    state: State, output: Path | None, only: "tuple[SkillName, ...]", *, link: bool, fresh: bool
) -> None:
    r"""Write base + installed skills as a model directory that transformers loads as it is.

    A graft that is there already is left alone where it is the same; else only the tensors that
    come out differently are computed, and files without any of these are taken over.

    \b
    skillpm graft
    skillpm graft -o ./served --link
    """
    from skillpm.flows.graft import graft as flow

    done = flow(make_setting(state), output, only, link=link, fresh=fresh)
    if state.json:
        skills = [
            {"skill": str(s.skill), "version": str(s.version), "digest": str(s.digest)}
            for s in done.skills
        ]
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
    click.echo(f"{verb} {names}\n  into {clean(done.path)}\n  {done.root}")
    click.echo(
        f"  {size_text(done.written_bytes)} written, {size_text(done.linked_bytes)} shared "
        f"with the base, {size_text(done.reused_bytes)} taken over, {done.seconds:.1f} s"
    )


@click.command(cls=Command)
@click.option(
    "--fail-on",
    type=click.Choice(_LEVELS),
    default="high",
    show_default=True,
    help="Exit 3 from here on.",
)
@click.option("--format", "format_", type=click.Choice(["text", "json"]), default="text")
@click.pass_obj
def audit(state: State, fail_on: str, format_: str) -> None:
    r"""Check all that is installed: blobs, base, the graft on disk, yanks, licences.

    Every byte is read again; nothing is written.

    \b
    skillpm audit
    skillpm audit --fail-on medium --json
    """
    from skillpm.flows.audit import audit as flow

    found = flow(make_setting(state))
    if state.json or format_ == "json":
        rows = [
            {"level": f.level, "code": f.code, "skill": f.skill, "message": f.message}
            for f in found.findings
        ]
        emit_json({"findings": rows, "checked": found.checked})
    else:
        rows_ = [(f.level, f.code, f.skill or "-", f.message) for f in found.findings]
        if rows_:
            emit_table(rows_, ("level", "code", "skill", "finding"))
        click.echo(f"{found.checked} checks, {len(rows_)} findings")
    if found.fails(fail_on):
        raise click.exceptions.Exit(3)
