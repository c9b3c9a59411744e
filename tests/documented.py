"""The documents that commands print, checked against the schemas of the documentation."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import click
from jsonschema import Draft202012Validator

from skillpm.cli.app import app
from skillpm.cli.schemas import command_schema, error_schema


def leaves(group: click.Group = app, prefix: str = "") -> dict[str, click.Command]:
    """Every command that is no group, by its words: `registry token list`."""
    found: dict[str, click.Command] = {}
    for name, command in group.commands.items():
        words = f"{prefix}{name}"
        if isinstance(command, click.Group):
            found |= leaves(command, f"{words} ")
        else:
            found[words] = command
    return found


def command_of(arguments: Sequence[object]) -> str:
    """The words of the command that these arguments call."""
    group: click.Command = app
    words: list[str] = []
    for argument in map(str, arguments):
        if isinstance(group, click.Group) and argument in group.commands:
            words.append(argument)
            group = group.commands[argument]
    return " ".join(words)


@cache
def _validator(command: str | None) -> Draft202012Validator:
    """Refuses a key that the schema does not name, so that no key is left undocumented."""
    schema = error_schema(exact=True) if command is None else command_schema(command, exact=True)
    return Draft202012Validator(schema)


def check_document(arguments: Sequence[object], document: Mapping[str, Any]) -> None:
    """Check what a command printed with `--json` against its schema."""
    command = None if "error" in document else command_of(arguments)
    _validator(command).validate(document)
