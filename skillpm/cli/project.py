"""`init`, `install`, `uninstall`, `upgrade`, `lock`, `rollback`, `apply`: making changes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.changes import show_change
from skillpm.cli.forecast import EXPLAIN, check_explain
from skillpm.cli.output import clean, emit_json, emit_line, emit_lines
from skillpm.cli.params import (
    ALLOW_YANKED,
    LOWEST,
    MOVED,
    SKILL,
    TIMEOUT,
    VERSION,
    WANTED,
    refuse_together,
)
from skillpm.cli.probing import GUARD, GUARD_DEVICE, guard_of
from skillpm.cli.state import Command, State, command_session
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError
from skillpm.files.named import read_named_file

if TYPE_CHECKING:
    from skillpm.spec.names import SkillName
    from skillpm.spec.requirements import Requirement
    from skillpm.spec.versions import Version

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
    from skillpm.api.options import resolve
    from skillpm.flows.change.init import init_project

    base = resolve(state.options)["base"]
    if base.value is None:
        raise UsageError("`init` needs the base", hint="`skillpm init --base PATH`")
    # In a clone the project file names the base, from where the file lies.
    here = state.folder if base.source.endswith("[project]") else Path()
    done = init_project(command_session(state), here / str(base.value))
    if state.json:
        facts = {"project": str(done.folder), "base": done.base, "root": str(done.root)}
        emit_json({**facts, "generation": 0})
    else:
        emit_lines(f"made a project of base {clean(done.base)}\n  {done.root}")


@click.command(cls=Command)
@click.argument("wanted", metavar="[REQ|FILE.skillpack]...", type=WANTED, nargs=-1)
@DRY_RUN
@EXPLAIN
@click.option("--frozen", is_flag=True, help="Never change the lock: fail where it would.")
@click.option(
    "--from",
    "bundle",
    metavar="FILE",
    type=LocalPath(),
    help="Install exactly what a bundle holds: needs no registry and no network.",
)
@GUARD
@GUARD_DEVICE
@ACCEPT
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.pass_obj
def install(
    state: State, /, wanted: tuple[str, ...], timeout: float, bundle: Path | None, **flags: Any
) -> None:
    r"""Add skills to the project; without arguments, install what the lock says.

    \b
    skillpm install acme/math
    skillpm install "acme/math ^1.2" ./acme-sql-1.0.0.skillpack
    skillpm install acme/sql --dry-run
    skillpm install acme/sql --guard
    skillpm install --frozen
    skillpm install --from team.skillbundle --base ./model
    """
    from skillpm.api.requests import install_request
    from skillpm.flows.change.install import install as flow

    explain = check_explain(flags)
    refuse_together(flags, "frozen", "lowest", "allow_yanked", "accept_footprint")
    flags |= guard_of(flags)
    if bundle is not None:
        _install_bundle(state, bundle, wanted, flags, explain=explain)
        return
    request = install_request(wanted, **flags)
    show_change(state, flow(command_session(state, timeout=timeout), request), explain=explain)


def _install_bundle(
    state: State, bundle: Path, wanted: tuple[str, ...], flags: dict[str, Any], *, explain: bool
) -> None:
    from skillpm.flows.change.install_bundle import install_bundle

    if wanted:
        raise UsageError(
            f"`--from` installs what the bundle holds, and `{wanted[0]}` asks for more",
            hint=f"`skillpm install --from {bundle}`, then `skillpm install {wanted[0]}`",
        )
    asked = {"from": True, **flags}
    refuse_together(asked, "from", "lowest", "allow_yanked", "accept_footprint")
    kept = {name: flags[name] for name in ("frozen", "dry_run", "guard")}
    done = install_bundle(command_session(state), bundle, **kept)
    show_change(state, done, explain=explain)


@click.command(cls=Command)
@click.argument("skills", metavar="[SKILL[@REQ]]...", type=MOVED, nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Move all skills (the default).")
@click.option("--to", metavar="VERSION", type=VERSION, help="Move the one SKILL to this version.")
@DRY_RUN
@EXPLAIN
@GUARD
@GUARD_DEVICE
@ACCEPT
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.pass_obj
def upgrade(
    state: State, /, skills: "tuple[Requirement, ...]", timeout: float, **flags: Any
) -> None:
    r"""Move skills to the newest releases that skillpm.toml admits; all without arguments.

    A SKILL moves, and with it only what must: nothing else goes back unless there is no other way.
    REQ and --to say how far; skillpm.toml stays as it is.

    \b
    skillpm upgrade
    skillpm upgrade acme/math --dry-run
    skillpm upgrade acme/math@~1.2
    skillpm upgrade acme/math --to 1.2.0
    """
    from skillpm.flows.change.install import upgrade as flow
    from skillpm.flows.change.request import InstallRequest

    explain = check_explain(flags)
    asked = _moved(skills, everything=flags.pop("everything"), to=flags.pop("to"))
    flags |= guard_of(flags)
    request = InstallRequest(upgrade=asked, **flags)
    show_change(state, flow(command_session(state, timeout=timeout), request), explain=explain)


def _moved(
    skills: "tuple[Requirement, ...]", *, everything: bool, to: "Version | None"
) -> "tuple[Requirement, ...]":
    from skillpm.spec.requirements import ANY, Requirement

    if everything and skills:
        raise UsageError(f"`--all` and `{skills[0].skill}` contradict each other")
    if to is None:
        return skills
    if len(skills) != 1 or skills[0].range != ANY:
        raise UsageError(
            "`--to` says where one skill goes", hint="`skillpm upgrade SKILL --to VERSION`"
        )
    return (Requirement.exact(skills[0].skill, to),)


@click.command(cls=Command)
@click.argument("skills", metavar="SKILL...", type=SKILL, nargs=-1, required=True)
@DRY_RUN
@click.pass_obj
def uninstall(state: State, skills: "tuple[SkillName, ...]", *, dry_run: bool) -> None:
    r"""Take skills off, and what only they needed.

    \b
    skillpm uninstall acme/math
    """
    from skillpm.flows.change.uninstall import uninstall as flow

    show_change(state, flow(command_session(state), skills, dry_run=dry_run))


@click.command(cls=Command)
@click.argument("generation", type=click.IntRange(min=0), required=False)
@DRY_RUN
@GUARD
@GUARD_DEVICE
@click.pass_obj
def rollback(state: State, /, generation: int | None, **flags: Any) -> None:
    r"""Go back to a generation, by default the one before; twice is redo.

    \b
    skillpm rollback
    skillpm rollback 3
    """
    from skillpm.flows.change.rollback import rollback as flow

    flags |= guard_of(flags)
    show_change(state, flow(command_session(state), generation, **flags))


@click.command(cls=Command)
@click.argument("plan", metavar="PLAN", type=LocalPath(allow_dash=True))
@DRY_RUN
@GUARD
@GUARD_DEVICE
@click.pass_obj
def apply(state: State, /, plan: Path, **flags: Any) -> None:
    r"""Carry out a plan that a dry run saved: exactly that one, or nothing.

    The plan is refused where the project has changed since it was made, or where its packs are not
    what it says of them. `-` reads it from stdin.

    \b
    skillpm install acme/math --dry-run --json > plan.json
    skillpm apply plan.json
    """
    from skillpm.flows.change.apply_plan import apply_saved

    flags |= guard_of(flags)
    data, what = _plan_bytes(plan)
    show_change(state, apply_saved(command_session(state), data, what, **flags))


def _plan_bytes(path: Path) -> tuple[bytes, str]:
    if str(path) == "-":
        return sys.stdin.buffer.read(), "the plan on stdin"
    return read_named_file(path), f"`{path}`"


@click.command(cls=Command)
@click.option("--check", is_flag=True, help="Only say whether the lock fits skillpm.toml.")
@click.option("--upgrade", is_flag=True, help="Take the newest releases, whatever was locked.")
@ACCEPT
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.pass_obj
def lock(state: State, /, timeout: float, **flags: Any) -> None:
    r"""Bring skillpm.lock up to skillpm.toml, changing as little as will do.

    A lock with merge-conflict markers is written anew from skillpm.toml, as near to both sides of
    the merge as can be.

    \b
    skillpm lock
    skillpm lock --check
    skillpm lock --upgrade
    """
    from skillpm.flows.change.lock import lock_project
    from skillpm.flows.change.request import InstallRequest

    refuse_together(flags, "check", "upgrade", "lowest", "allow_yanked", "accept_footprint")
    refuse_together(flags, "upgrade", "lowest")
    check = flags.pop("check")
    request = InstallRequest(upgrade=() if flags.pop("upgrade") else None, **flags)
    done = lock_project(command_session(state, timeout=timeout), request, check=check)
    if state.json:
        emit_json({"fresh": done.fresh, "changed": done.changed, "reason": done.reason})
    elif done.changed:
        emit_line(f"locked again{f': {done.reason}' if done.reason else ''}")
    else:
        emit_line("the lock fits" if done.fresh else f"the lock does not fit: {done.reason}")
    if not done.fresh:
        raise click.exceptions.Exit(1)
