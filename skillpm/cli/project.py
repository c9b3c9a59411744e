"""`init`, `install`, `upgrade` and `uninstall`: changes of a project."""

from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from skillpm.cli.changes import show_change
from skillpm.cli.forecast import EXPLAIN, PLOT, check_forecast
from skillpm.cli.output import clean, emit_json, emit_lines
from skillpm.cli.params import (
    ACCEPT_FOOTPRINT,
    ALLOW_YANKED,
    LOWEST,
    MOVED,
    SKILL,
    TIMEOUT,
    VERSION,
    WANTED,
    WEIGHT,
    ResolvingFlags,
    refuse_together,
)
from skillpm.cli.probing import GUARD, GUARD_DEVICE, guard_options
from skillpm.cli.result_documents import InitDocument
from skillpm.cli.state import Command, State, command_client, command_project
from skillpm.cli.types import LocalPath
from skillpm.errors import UsageError

if TYPE_CHECKING:
    from skillpm.api.values import Change
    from skillpm.cli.probing import GuardOptions
    from skillpm.spec.names import SkillName
    from skillpm.spec.requirements import Requirement
    from skillpm.spec.versions import Version
    from skillpm.spec.weights import WeightArgument

DRY_RUN = click.option("--dry-run", is_flag=True, help="Show the plan without applying it.")


@click.command(cls=Command)
@click.pass_obj
def init(state: State) -> None:
    r"""Create a project for a base model.

    Writes skillpm.toml and skillpm.lock in the current folder, or in the folder of -C. In a clone
    of a project, --base may be left out if the path in skillpm.toml is valid.

    \b
    Example:
      skillpm init --base ./model
    """
    from skillpm.api.changes import create_project
    from skillpm.api.options import chosen_base

    state.project = state.project or Path()  # a new project, also below another one
    base = chosen_base(state.options)
    if base is None:
        raise UsageError("`init` needs a base model", hint="`skillpm init --base ./model`")
    done = create_project(command_client(state), base)
    if state.json:
        document: InitDocument = {
            "project": str(done.folder),
            "base": done.base,
            "root": str(done.root),
            "generation": 0,
        }
        emit_json(document)
    else:
        emit_lines(f"created a project for base {clean(done.label)}\n  {done.root}")


@click.command(cls=Command)
@click.argument(
    "wanted",
    metavar="[REQ|FILE.skillpack]...",
    type=WANTED,
    nargs=-1,
    help="Skills, with an optional range (`acme/math ^1.2`), or pack files (default: the lock).",
)
@DRY_RUN
@EXPLAIN
@PLOT
@click.option("--frozen", is_flag=True, help="Fail if skillpm.lock would change.")
@click.option(
    "--weight",
    "weights",
    metavar="[SKILL=]W",
    type=WEIGHT,
    multiple=True,
    help="Weight in the graft, of all REQ and FILE or of SKILL; repeatable (default: 1).",
)
@click.option(
    "--from",
    "bundle",
    metavar="FILE",
    type=LocalPath(),
    help="Install the skills of a bundle; needs no registry and no network.",
)
@GUARD
@GUARD_DEVICE
@ACCEPT_FOOTPRINT
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.pass_obj
def install(
    state: State,
    *,
    wanted: tuple[str, ...],
    dry_run: bool,
    explain: bool,
    plot: Path | None,
    frozen: bool,
    weights: "tuple[WeightArgument, ...]",
    bundle: Path | None,
    guard: bool,
    device: str | None,
    timeout: float,
    **resolving: Unpack[ResolvingFlags],
) -> None:
    r"""Install skills, or everything in the lock.

    Adds the skills to skillpm.toml, resolves their requirements, and updates skillpm.lock. A new
    pack is verified on the base before it is installed.

    \b
    Examples:
      skillpm install acme/math
      skillpm install "acme/math ^1.2" ./acme-sql-1.0.0.skillpack
      skillpm install acme/sql --dry-run --guard
      skillpm install acme/sql --weight 0.5
      skillpm install --frozen
      skillpm install --from team.skillbundle --base ./model
    """
    check_forecast(explain=explain, plot=plot, dry_run=dry_run)
    refuse_together("frozen", frozen, **resolving)
    guards = guard_options(guard=guard, device=device)
    if bundle is None:
        change = command_project(state, timeout=timeout).install(
            *wanted, dry_run=dry_run, frozen=frozen, weight=weights, **guards, **resolving
        )
    else:
        refuse_together("from", bundle, weight=weights, **resolving)
        change = _from_bundle(state, bundle, wanted, frozen=frozen, dry_run=dry_run, guards=guards)
    show_change(state, change, explain=explain, plot=plot)


def _from_bundle(
    state: State,
    bundle: Path,
    wanted: tuple[str, ...],
    *,
    frozen: bool,
    dry_run: bool,
    guards: "GuardOptions",
) -> "Change":
    from skillpm.api.changes import install_bundle

    if wanted:
        raise UsageError(
            f"`--from` installs only what the bundle holds, but `{wanted[0]}` was given too",
            hint=f"`skillpm install --from {bundle}`, then `skillpm install {wanted[0]}`",
        )
    return install_bundle(command_client(state), bundle, frozen=frozen, dry_run=dry_run, **guards)


@click.command(cls=Command)
@click.argument(
    "skills",
    metavar="[SKILL[@REQ]]...",
    type=MOVED,
    nargs=-1,
    help="Skills to upgrade, each with an optional range (default: all).",
)
@click.option("--all", "everything", is_flag=True, help="Upgrade all skills (the default).")
@click.option("--to", metavar="VERSION", type=VERSION, help="Move the given SKILL to this version.")
@DRY_RUN
@EXPLAIN
@PLOT
@GUARD
@GUARD_DEVICE
@ACCEPT_FOOTPRINT
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.pass_obj
def upgrade(
    state: State,
    /,
    *,
    skills: "tuple[Requirement, ...]",
    everything: bool,
    to: "Version | None",
    dry_run: bool,
    explain: bool,
    plot: Path | None,
    guard: bool,
    device: str | None,
    timeout: float,
    **resolving: Unpack[ResolvingFlags],
) -> None:
    r"""Upgrade skills to the newest allowed releases.

    skillpm.toml sets the allowed versions and does not change; REQ and --to restrict them further.
    If a SKILL is given, other skills change only where it requires that. Another skill is
    downgraded only if there is no other solution.

    \b
    Examples:
      skillpm upgrade
      skillpm upgrade acme/math --dry-run
      skillpm upgrade acme/math@~1.2
      skillpm upgrade acme/math --to 1.2.0
    """
    check_forecast(explain=explain, plot=plot, dry_run=dry_run)
    moving = _upgrade_requirements(skills, everything=everything, to=to)
    guarding = guard_options(guard=guard, device=device)
    project = command_project(state, timeout=timeout)
    change = project.upgrade(*moving, dry_run=dry_run, **guarding, **resolving)
    show_change(state, change, explain=explain, plot=plot)


def _upgrade_requirements(
    skills: "tuple[Requirement, ...]", *, everything: bool, to: "Version | None"
) -> "tuple[Requirement, ...]":
    from skillpm.spec.requirements import ANY, Requirement

    if everything and skills:
        raise UsageError(
            f"`--all` and `{skills[0].skill}` cannot be used together",
            hint=f"`skillpm upgrade`, or `skillpm upgrade {skills[0].skill}`",
        )
    if to is None:
        return skills
    if len(skills) != 1 or skills[0].range != ANY:
        raise UsageError(
            "`--to` needs exactly one skill without a version range",
            hint=f"`skillpm upgrade {skills[0].skill if skills else 'acme/math'} --to {to}`",
        )
    return (Requirement.exact(skills[0].skill, to),)


@click.command(cls=Command)
@click.argument(
    "skills", metavar="SKILL...", type=SKILL, nargs=-1, required=True, help="Installed skills."
)
@DRY_RUN
@click.pass_obj
def uninstall(state: State, skills: "tuple[SkillName, ...]", *, dry_run: bool) -> None:
    r"""Remove skills and what only they required.

    Needs no registry and no network.

    \b
    Example:
      skillpm uninstall acme/math
    """
    show_change(state, command_project(state).uninstall(*skills, dry_run=dry_run))
