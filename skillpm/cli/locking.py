"""`lock`: update or check skillpm.lock."""

from typing import Unpack

import click

from skillpm.cli.output import emit_json, emit_line
from skillpm.cli.params import (
    ACCEPT_FOOTPRINT,
    ALLOW_YANKED,
    LOWEST,
    TIMEOUT,
    ResolvingFlags,
    refuse_together,
)
from skillpm.cli.result_documents import LockDocument
from skillpm.cli.state import Command, State, command_client


@click.command(cls=Command)
@click.option("--check", is_flag=True, help="Only check; exit code 1 if the lock is out of date.")
@click.option("--upgrade", is_flag=True, help="Lock the newest allowed releases.")
@ACCEPT_FOOTPRINT
@ALLOW_YANKED
@LOWEST
@TIMEOUT
@click.pass_obj
def lock(
    state: State,
    /,
    *,
    check: bool,
    upgrade: bool,
    timeout: float,
    **resolving: Unpack[ResolvingFlags],
) -> None:
    r"""Update skillpm.lock from skillpm.toml.

    Locked releases stay where skillpm.toml allows them. A lock with merge-conflict markers is
    written again from skillpm.toml, and keeps the releases of both sides where possible.

    \b
    Examples:
      skillpm lock
      skillpm lock --check
      skillpm lock --upgrade
    """
    from skillpm.api.changes import lock_project

    refuse_together("check", check, upgrade=upgrade, **resolving)
    refuse_together("upgrade", upgrade, lowest=resolving["lowest"])
    client = command_client(state, timeout=timeout)
    result = lock_project(client, check=check, upgrade=upgrade, **resolving)
    if state.json:
        emit_json(LockDocument(fresh=result.fresh, changed=result.changed, reason=result.reason))
    elif result.changed:
        emit_line(f"updated skillpm.lock{f': {result.reason}' if result.reason else ''}")
    elif result.fresh:
        emit_line("skillpm.lock is up to date")
    else:
        emit_line(f"skillpm.lock is out of date: {result.reason}")
    if not result.fresh:
        raise click.exceptions.Exit(1)
