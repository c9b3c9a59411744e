"""Words of the vocabulary as click parameter types: a bad one is a usage error."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import click

from skillpm.cli.types import FiniteRange
from skillpm.errors import SpecError, UsageError
from skillpm.spec.budget import Budget
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ParsedParam(click.ParamType[Any]):
    """A parameter that a `parse` of the vocabulary reads."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Parse, or fail with the parser's own sentence."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except SpecError as problem:
            self.fail(problem.message, param, ctx)


class SkillParam(ParsedParam):
    """The name of a skill; a shell completes those that are installed."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The installed skills that begin so."""
        from click.shell_completion import CompletionItem

        del param
        return [CompletionItem(name) for name in _installed(ctx) if name.startswith(incomplete)]


class WantedParam(click.ParamType[Any]):
    """A requirement or a pack file; a shell completes both."""

    name = "REQ|FILE"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The installed skills that begin so; where there is none, files."""
        from click.shell_completion import CompletionItem

        found = SKILL.shell_complete(ctx, param, incomplete) if incomplete else []
        return found or [CompletionItem(incomplete, type="file")]


def _installed(ctx: click.Context) -> list[str]:
    """The installed skills; none where that cannot be told: a shell wants no errors."""
    from skillpm.cli.state import State
    from skillpm.flows.inspect.listing import installed_names

    return installed_names(ctx.find_root().ensure_object(State).folder)


SKILL = SkillParam("SKILL", SkillName.parse)
VERSION = ParsedParam("VERSION", Version.parse)
REQUIREMENT = ParsedParam("REQ", Requirement.parse)
MOVED = SkillParam("REQ", Requirement.parse)
BUDGET = ParsedParam("SIZE", Budget.parse)
WANTED = WantedParam()

SOLVE_TIMEOUT = 60.0
TIMEOUT = click.option(
    "--timeout",
    metavar="SECONDS",
    type=FiniteRange(min=0),
    default=SOLVE_TIMEOUT,
    show_default=True,
    envvar="SKILLPM_SOLVE_TIMEOUT",
    help="How long to search for a solution before giving up.",
)
LOWEST = click.option(
    "--lowest", is_flag=True, help="Take the lowest versions that will do: for testing them."
)
ALLOW_YANKED = click.option(
    "--allow-yanked", is_flag=True, help="Take yanked releases too; the lock records it."
)


def refuse_together(flags: Mapping[str, object], one: str, *others: str) -> None:
    """Raise `UsageError` where `one` is set and any of `others` as well."""
    for other in others:
        if flags[one] and flags[other]:
            names = [f"`--{name.replace('_', '-')}`" for name in (one, other)]
            raise UsageError(f"{names[0]} and {names[1]} contradict each other")
