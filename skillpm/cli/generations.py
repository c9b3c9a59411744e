"""`rollback` and `apply`: an earlier generation, and a plan that a dry run saved."""

import sys
from pathlib import Path

import click

from skillpm.cli.changes import show_change
from skillpm.cli.probing import GUARD, GUARD_DEVICE, guard_options
from skillpm.cli.project import DRY_RUN
from skillpm.cli.state import Command, State, command_client, command_project
from skillpm.cli.types import LocalPath
from skillpm.files.named import read_named_file


@click.command(cls=Command)
@click.argument(
    "generation",
    type=click.IntRange(min=0),
    required=False,
    help="Number of `skillpm history` (default: the one before the current).",
)
@DRY_RUN
@GUARD
@GUARD_DEVICE
@click.pass_obj
def rollback(
    state: State,
    /,
    *,
    generation: int | None,
    dry_run: bool,
    guard: bool,
    device: str | None,
) -> None:
    r"""Return to an earlier generation.

    A rollback makes a new generation, so a second `skillpm rollback` undoes the first.

    \b
    Examples:
      skillpm rollback
      skillpm rollback 3
    """
    guarding = guard_options(guard=guard, device=device)
    show_change(state, command_project(state).rollback(generation, dry_run=dry_run, **guarding))


@click.command(cls=Command)
@click.argument(
    "plan",
    metavar="PLAN",
    type=LocalPath(allow_dash=True),
    help="Plan, a JSON file; `-` for stdin.",
)
@DRY_RUN
@GUARD
@GUARD_DEVICE
@click.pass_obj
def apply(state: State, /, *, plan: Path, dry_run: bool, guard: bool, device: str | None) -> None:
    r"""Apply a plan that a dry run saved.

    Applies exactly this plan or nothing. The plan is refused if the project has changed since the
    dry run, or if a pack does not have the recorded digest.

    \b
    Examples:
      skillpm install acme/math --dry-run --json > plan.json
      skillpm apply plan.json
    """
    from skillpm.api.changes import apply_plan

    guarding = guard_options(guard=guard, device=device)
    data, what = _plan_bytes(plan)
    change = apply_plan(command_client(state), data, what, dry_run=dry_run, **guarding)
    show_change(state, change)


def _plan_bytes(path: Path) -> tuple[bytes, str]:
    if str(path) == "-":
        return sys.stdin.buffer.read(), "the plan on stdin"
    return read_named_file(path), f"`{path}`"
