"""Words of the vocabulary as click parameter types: a bad one is a usage error."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from skillpm.errors import SpecError
from skillpm.spec.budget import Budget
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class Word(click.ParamType[Any]):
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


class Skill(Word):
    """The name of a skill; a shell completes those that are installed."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The installed skills that begin so."""
        from click.shell_completion import CompletionItem

        del param
        return [CompletionItem(name) for name in _installed(ctx) if name.startswith(incomplete)]


class Wanted(click.ParamType[Any]):
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
    from skillpm.flows.listing import installed_names

    return installed_names(ctx.find_root().ensure_object(State).folder)


SKILL = Skill("SKILL", SkillName.parse)
VERSION = Word("VERSION", Version.parse)
REQUIREMENT = Word("REQ", Requirement.parse)
BUDGET = Word("SIZE", Budget.parse)
WANTED = Wanted()
