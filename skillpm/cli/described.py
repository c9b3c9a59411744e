"""The commands of skillpm as plain values, for man pages and for the reference of commands."""

import inspect
from collections.abc import Iterator
from dataclasses import dataclass

import click

from skillpm.cli.app import app
from skillpm.cli.state import global_params

VERBATIM = "\b"
"""The character that click puts before a paragraph whose lines it keeps."""


@dataclass(frozen=True)
class Paragraph:
    """A paragraph of a help text. The lines of a `verbatim` one are kept."""

    text: str
    verbatim: bool = False


@dataclass(frozen=True)
class DescribedCommand:
    """A command or a group: its words, its help, its options, and the commands of a group.

    `options` and `arguments` have a term and a description each.
    """

    words: tuple[str, ...]
    usage: str
    summary: str
    help: tuple[Paragraph, ...]
    arguments: tuple[tuple[str, str], ...]
    options: tuple[tuple[str, str], ...]
    commands: tuple[tuple[str, str], ...]

    @property
    def name(self) -> str:
        """The command as it is typed: `skillpm registry token list`."""
        return " ".join(self.words)

    @property
    def tables(self) -> tuple[tuple[str, tuple[tuple[str, str], ...]], ...]:
        """The records of arguments, options and commands, each with the noun; no empty ones."""
        every = (
            ("argument", self.arguments),
            ("option", self.options),
            ("command", self.commands),
        )
        return tuple((noun, records) for noun, records in every if records)

    @property
    def title(self) -> str:
        """The name of its man page: `skillpm-registry-token-list`."""
        return "-".join(self.words)


def described_commands() -> Iterator[DescribedCommand]:
    """`skillpm` itself, and every group and command below it."""
    yield from _below(
        app, click.Context(app, info_name="skillpm", **app.context_settings), ("skillpm",)
    )


def _below(
    command: click.Command, context: click.Context, words: tuple[str, ...]
) -> Iterator[DescribedCommand]:
    yield _described(command, context, words)
    if not isinstance(command, click.Group):
        return
    for name in command.list_commands(context):
        inner = command.get_command(context, name)
        if inner is not None and not inner.hidden:
            below = click.Context(inner, parent=context, info_name=name)
            yield from _below(inner, below, (*words, name))


def _described(
    command: click.Command, context: click.Context, words: tuple[str, ...]
) -> DescribedCommand:
    inner = command.commands.items() if isinstance(command, click.Group) else ()
    return DescribedCommand(
        words,
        usage=" ".join([" ".join(words), *command.collect_usage_pieces(context)]),
        summary=command.get_short_help_str(limit=200),
        help=tuple(_paragraphs(command.help or "")),
        arguments=tuple(_records(command, context, click.Argument)),
        options=tuple(_records(command, context, click.Option, leave_out=len(words) > 1)),
        commands=tuple(
            (name, found.get_short_help_str(limit=200))
            for name, found in sorted(inner)
            if not found.hidden
        ),
    )


def _records(
    command: click.Command,
    context: click.Context,
    kind: type[click.Parameter],
    *,
    leave_out: bool = False,
) -> Iterator[tuple[str, str]]:
    """A term and a description of each parameter of a kind that has one.

    Global options are left out, because the page of `skillpm` describes them.
    """
    shared = {"--help", *(name for option in global_params(rare=True) for name in option.opts)}
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if not isinstance(parameter, kind) or record is None or not record[1]:
            continue
        if not (leave_out and shared.intersection(parameter.opts)):
            yield record


def _paragraphs(text: str) -> Iterator[Paragraph]:
    for block in inspect.cleandoc(text).split("\n\n"):
        if block.startswith(VERBATIM):
            yield Paragraph(block.removeprefix(VERBATIM).strip("\n"), verbatim=True)
        elif block.strip():
            yield Paragraph(" ".join(block.split()))
