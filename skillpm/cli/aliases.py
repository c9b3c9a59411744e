"""Command names of other package managers: some run a command of skillpm, others only name one.

A word runs a command only if the two take the same arguments and have the same effect (ADR 61).
"""

import shlex
from typing import TYPE_CHECKING

import click

from skillpm.errors import UsageError

if TYPE_CHECKING:
    from skillpm.cli.state import State

ALIASES = {
    "add": "install",
    "info": "show",
    "ls": "list",
    "pull": "install",
    "push": "publish",
    "remove": "uninstall",
    "rm": "uninstall",
    "sync": "install",
    "update": "upgrade",
}
"""Words that run a command. Help pages and shell completion do not list them."""

SIMILAR = {
    "build": "to build a pack: `skillpm pack ./base ./tuned --name acme/math --version 1.0.0`",
    "check": "to check the lock: `skillpm lock --check`; to check the skills: `skillpm audit`",
    "clean": "to remove what is not needed: `skillpm gc`; to remove caches: `skillpm cache clean`",
    "freeze": "to list the installed versions: `skillpm list`; to lock them: `skillpm lock`",
    "log": "to list the generations: `skillpm history`",
    "merge": "to write the base with its skills: `skillpm graft`",
    "new": "to create a project: `skillpm init --base ./model`",
    "status": "to list the installed skills: `skillpm list`; to check them: `skillpm audit`",
    "undo": "to return to the generation before: `skillpm rollback`",
}
"""Words that no command has, and the hint that names the commands for the same purpose."""


class CommandGroup(click.Group):
    """The group of all commands, which knows the words of other package managers."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find a command. An alias leaves a hint in the state, for the command to print."""
        word, *rest = args
        if word in SIMILAR and not ctx.resilient_parsing:
            raise UsageError(f"there is no command `{word}`", hint=SIMILAR[word])
        name = ALIASES.get(word)
        if name is None:
            return super().resolve_command(ctx, args)
        if not ctx.resilient_parsing:
            state: State = ctx.obj
            state.alias = f"`{word}` is an alias: `{shlex.join(('skillpm', name, *rest))}`"
        return super().resolve_command(ctx, [name, *rest])
