"""`login`, `logout` and `whoami`: the user's token for a registry over HTTP."""

import sys
from typing import TYPE_CHECKING

import click

from skillpm.cli.output import can_ask, emit_json, emit_line, prompt_secret
from skillpm.cli.state import Command, State, command_client
from skillpm.cli.upkeep_documents import AccountDocument, LogoutDocument

if TYPE_CHECKING:
    from skillpm.api.results import AccountReport
    from skillpm.spec.location import RegistryLocation

_INPUT_LIMIT = 1 << 16


@click.command(cls=Command)
@click.pass_obj
def login(state: State) -> None:
    r"""Verify and store a token for a registry.

    Reads the token from a prompt, or from stdin if that is no terminal. The registry checks it
    first. The token is stored in the system's keyring if the package keyring is installed, else in
    a file that only you can read, and is sent to this registry's origin only.

    \b
    Examples:
      skillpm login --registry https://skills.example.org
      echo "$TOKEN" | skillpm login --registry https://skills.example.org
    """
    from skillpm.api.accounts import login as log_in

    asks = can_ask()
    report = log_in(command_client(state), _ask if asks else _from_stdin, asks=asks)
    state.say(f"stored the token {report.place}")
    _show(state, report)


def _ask(location: "RegistryLocation") -> str:
    return prompt_secret(f"token for {location}")


def _from_stdin(_location: "RegistryLocation") -> str:
    return sys.stdin.read(_INPUT_LIMIT)


@click.command(cls=Command)
@click.pass_obj
def logout(state: State) -> None:
    r"""Remove the stored token of a registry.

    The registry still accepts the token until it expires or is revoked there.

    \b
    Example:
      skillpm logout --registry https://skills.example.org
    """
    from skillpm.api.accounts import logout as log_out

    location, removed = log_out(command_client(state))
    if state.json:
        result: LogoutDocument = {"registry": str(location), "removed": removed}
        emit_json(result)
    elif removed:
        emit_line(f"logged out of {location}")
    else:
        emit_line(f"there was no stored token for {location}")


@click.command(cls=Command)
@click.pass_obj
def whoami(state: State) -> None:
    r"""Show whose token is sent to a registry.

    Prints the registry, the owner of the token, and when the token expires.

    \b
    Example:
      skillpm whoami --registry https://skills.example.org
    """
    from skillpm.api.accounts import whoami as find_owner

    _show(state, find_owner(command_client(state)))


def _show(state: State, report: "AccountReport") -> None:
    if state.json:
        account: AccountDocument = {
            "registry": str(report.registry),
            "principal": report.principal,
            "expires": report.expires,
        }
        emit_json(account)
        return
    emit_line(f"registry   {report.registry}")
    emit_line(f"principal  {report.principal}")
    emit_line(f"expires    {report.expires or 'never'}")
