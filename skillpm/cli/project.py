"""`init`, `install`, `uninstall`, `upgrade`, `lock`, `rollback`, `apply`: making changes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.output import clean, emit_json
from skillpm.cli.params import SKILL, WANTED
from skillpm.cli.state import Command, State, make_setting
from skillpm.errors import NotFoundError, SpecError, UsageError

if TYPE_CHECKING:
    from skillpm.environment.generation import Installed
    from skillpm.flows.ask import InstallRequest
    from skillpm.flows.change import Changed
    from skillpm.spec.names import SkillName

DRY_RUN = click.option("--dry-run", is_flag=True, help="Say what would change; change nothing.")
ACCEPT = click.option(
    "--accept-footprint",
    is_flag=True,
    help="Go on where the base is another, but all tensors that a pack touches are the same.",
)


@click.command(cls=Command)
@click.pass_obj
def init(state: State) -> None:
    r"""Make this folder a project of the base at --base.

    \b
    skillpm init --base ./model
    """
    from skillpm.cli.settings import resolve
    from skillpm.flows.init import init_project

    base = resolve(state)["base"]
    if base.value is None:
        raise UsageError("`init` needs the base", hint="`skillpm init --base PATH`")
    # In a clone the project file names the base, from where the file lies.
    here = state.folder if base.source.endswith("[project]") else Path()
    done = init_project(make_setting(state), here / str(base.value))
    if state.json:
        facts = {"project": str(done.folder), "base": done.base, "root": str(done.root)}
        emit_json({**facts, "generation": 0})
    else:
        click.echo(f"made a project of base {clean(done.base)}\n  {done.root}")


@click.command(cls=Command)
@click.argument("wanted", metavar="[REQ|FILE.skillpack]...", type=WANTED, nargs=-1)
@DRY_RUN
@click.option("--frozen", is_flag=True, help="Never change the lock: fail where it would.")
@ACCEPT
@click.pass_obj
def install(
    state: State, wanted: tuple[str, ...], *, dry_run: bool, frozen: bool, accept_footprint: bool
) -> None:
    r"""Add skills to the project; without arguments, install what the lock says.

    \b
    skillpm install acme/math
    skillpm install "acme/math ^1.2" ./acme-sql-1.0.0.skillpack
    skillpm install --frozen
    """
    from skillpm.flows.install import install as flow

    request = _request(wanted, dry_run=dry_run, frozen=frozen, accept_footprint=accept_footprint)
    _show(state, flow(make_setting(state), request))


def _request(wanted: tuple[str, ...], **flags: Any) -> "InstallRequest":
    from skillpm.archive.reader import open_pack
    from skillpm.flows.ask import InstallRequest
    from skillpm.spec.requirements import Requirement

    files = [text for text in wanted if text.endswith(".skillpack") or Path(text).is_file()]
    requirements = []
    for text in wanted:
        if text not in files:
            try:
                requirements.append(Requirement.parse(text))
            except SpecError as problem:
                raise UsageError(problem.message, hint=problem.hint) from problem
    packs = tuple(open_pack(Path(text)) for text in files)
    return InstallRequest(tuple(requirements), packs, **flags)


@click.command(cls=Command)
@click.argument("skills", metavar="[SKILL]...", type=SKILL, nargs=-1)
@DRY_RUN
@ACCEPT
@click.pass_obj
def upgrade(
    state: State, skills: "tuple[SkillName, ...]", *, dry_run: bool, accept_footprint: bool
) -> None:
    r"""Move skills to the newest releases that skillpm.toml admits; all without arguments.

    \b
    skillpm upgrade acme/math
    """
    from skillpm.flows.ask import InstallRequest
    from skillpm.flows.install import upgrade as flow

    request = InstallRequest(upgrade=skills, dry_run=dry_run, accept_footprint=accept_footprint)
    _show(state, flow(make_setting(state), request))


@click.command(cls=Command)
@click.argument("skills", metavar="SKILL...", type=SKILL, nargs=-1, required=True)
@DRY_RUN
@click.pass_obj
def uninstall(state: State, skills: "tuple[SkillName, ...]", *, dry_run: bool) -> None:
    r"""Take skills off, and what only they needed.

    \b
    skillpm uninstall acme/math
    """
    from skillpm.flows.uninstall import uninstall as flow

    _show(state, flow(make_setting(state), skills, dry_run=dry_run))


@click.command(cls=Command)
@click.argument("generation", type=click.IntRange(min=0), required=False)
@DRY_RUN
@click.pass_obj
def rollback(state: State, generation: int | None, *, dry_run: bool) -> None:
    r"""Go back to a generation, by default the one before; twice is redo.

    \b
    skillpm rollback
    skillpm rollback 3
    """
    from skillpm.flows.rollback import rollback as flow

    _show(state, flow(make_setting(state), generation, dry_run=dry_run))


@click.command(cls=Command)
@click.argument("plan", metavar="PLAN", type=click.Path(path_type=Path, allow_dash=True))
@DRY_RUN
@click.pass_obj
def apply(state: State, plan: Path, *, dry_run: bool) -> None:
    r"""Carry out a plan that a dry run saved: exactly that one, or nothing.

    The plan is refused where the project has changed since it was made, or where its packs are not
    what it says of them. `-` reads it from stdin.

    \b
    skillpm install acme/math --dry-run --json > plan.json
    skillpm apply plan.json
    """
    from skillpm.flows.apply import apply_saved

    data, what = _plan_bytes(plan)
    _show(state, apply_saved(make_setting(state), data, what, dry_run=dry_run))


def _plan_bytes(path: Path) -> tuple[bytes, str]:
    if str(path) == "-":
        return sys.stdin.buffer.read(), "the plan on stdin"
    try:
        return path.read_bytes(), f"`{path}`"
    except FileNotFoundError as problem:
        raise NotFoundError(f"there is no file `{path}`") from problem


@click.command(cls=Command)
@click.option("--check", is_flag=True, help="Only say whether the lock fits skillpm.toml.")
@ACCEPT
@click.pass_obj
def lock(state: State, *, check: bool, accept_footprint: bool) -> None:
    r"""Bring skillpm.lock up to skillpm.toml, changing as little as will do.

    \b
    skillpm lock
    skillpm lock --check
    """
    from skillpm.flows.lock import lock_project

    done = lock_project(make_setting(state), check=check, accept_footprint=accept_footprint)
    if state.json:
        emit_json({"fresh": done.fresh, "changed": done.changed, "reason": done.reason})
    elif done.changed:
        click.echo(f"locked again: {done.reason}")
    else:
        click.echo("the lock fits" if done.fresh else f"the lock does not fit: {done.reason}")
    if not done.fresh:
        raise click.exceptions.Exit(1)


def _show(state: State, done: "Changed") -> None:
    for note in done.notes:
        state.say(note)
    if state.json:
        parts = {"added": done.added, "removed": done.removed, "changed": done.changed}
        document: dict[str, Any] = {key: [plain(one) for one in p] for key, p in parts.items()}
        head = {"generation": done.generation, "kept": done.kept, "dry_run": done.dry_run}
        plan = {"plan": done.saved.plain()} if done.saved else {}
        emit_json({**document, **head, "notes": list(done.notes), **plan})
        return
    for sign, several in (("+", done.added), ("-", done.removed), ("~", done.changed)):
        for one in several:
            click.echo(f" {sign} {one.skill} {one.version}")
    changes = len(done.added) + len(done.removed) + len(done.changed)
    would = "would be " if done.dry_run else ""
    if changes:
        click.echo(f"generation {done.generation} {would}current; {done.kept} kept")
    else:
        click.echo(f"nothing to change; generation {done.generation} {would}current")


def plain(one: "Installed") -> dict[str, str]:
    """A release as documents list it."""
    return {"skill": str(one.skill), "version": str(one.version), "digest": str(one.digest)}
