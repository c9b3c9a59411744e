"""`registry token`: create, list and revoke tokens."""

import re
from pathlib import Path

import click

from skillpm.cli.output import emit_json, emit_line, emit_table
from skillpm.cli.serving import CONFIG, show_token
from skillpm.cli.state import Command, State, command_client, global_params
from skillpm.errors import SpecError

_ACTIONS = ("read", "publish", "publish-new", "yank", "admin")
_UNITS = {"m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"([0-9]{1,6})([mhd])", re.ASCII)


@click.group(params=global_params())
def token() -> None:
    """Create, list and revoke tokens.

    Works on the registry's own machine, and elsewhere with a token that has the action `admin`.
    """


@token.command("create", cls=Command)
@click.option("--action", "actions", type=click.Choice(_ACTIONS), multiple=True,
              help="Action that the token allows. Repeatable; default: read.")  # fmt: skip
@click.option("--pattern", "patterns", metavar="PATTERN", multiple=True,
              help="Skills, such as acme/math or acme/*. Repeatable; default: all.")  # fmt: skip
@click.option("--expires", default="30d", show_default=True, metavar="TIME",
              help="Lifetime, at most 90d.")  # fmt: skip
@click.option("--for", "principal", metavar="PRINCIPAL", help="Principal (default: you).")
@click.option("--note", default="", help="Note that lists show.")
@CONFIG
@click.pass_obj
def create_token(  # noqa: PLR0917 - a click callback has one parameter for each option
    state: State, actions: tuple[str, ...], patterns: tuple[str, ...], expires: str,
    principal: str | None, note: str, config: Path | None,
) -> None:  # fmt: skip
    r"""Create a token.

    The token is printed once. A token with `publish-new` but without `publish` creates one skill.

    \b
    Examples:
      skillpm registry token create --action publish --pattern 'acme/*' --expires 7d
      skillpm registry token create --for alice --action read --action publish
    """
    from skillpm.api.serving import administration
    from skillpm.spec.fields import read_document
    from skillpm.spec.registry_people import TokenRequest

    plain = {
        "actions": list(dict.fromkeys(actions)) or ["read"], "patterns": list(patterns) or ["*"],
        "expires_in": _seconds(expires), "principal": principal, "note": note,
    }  # fmt: skip
    request = read_document(TokenRequest, plain, "the token")
    with administration(command_client(state), config) as registry:
        show_token(state, registry.create_token(request))


@token.command("list", cls=Command)
@CONFIG
@click.pass_obj
def list_tokens(state: State, config: Path | None) -> None:
    r"""List valid tokens, without their secrets.

    \b
    Example:
      skillpm registry token list
    """
    from skillpm.api.serving import administration

    with administration(command_client(state), config) as registry:
        tokens = registry.tokens()
    if state.json:
        emit_json(tokens.to_dict())
        return
    rows = [
        (row.id, row.principal, ",".join(row.actions), ",".join(row.patterns), row.expires,
         row.note)
        for row in tokens.tokens
    ]  # fmt: skip
    if rows:
        emit_table(rows, ("id", "principal", "actions", "patterns", "expires", "note"))
    else:
        state.say("there are no valid tokens")


@token.command("revoke", cls=Command)
@click.argument(
    "identifier", metavar="ID", help="Token, as `registry token list` shows it: `3f2a9c01d4b7`."
)
@CONFIG
@click.pass_obj
def revoke_token(state: State, identifier: str, config: Path | None) -> None:
    r"""Revoke a token.

    \b
    Example:
      skillpm registry token revoke 3f2a9c01d4b7
    """
    from skillpm.api.serving import administration

    with administration(command_client(state), config) as registry:
        registry.revoke_token(identifier)
    if state.json:
        emit_json({"id": identifier, "revoked": True})
    else:
        emit_line(f"revoked token {identifier}")


def _seconds(text: str) -> float:
    match = _DURATION.fullmatch(text.strip().lower())
    if match is None:
        raise SpecError(f"`{text}` is not a time", hint="write it like `30d`, `12h` or `15m`")
    return float(int(match[1]) * _UNITS[match[2]])
