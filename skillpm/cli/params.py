"""click parameter types for skill names, versions and requirements, and shared options."""

import shlex
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

import click

from skillpm.cli.types import FiniteRange, LocalPath, ParameterError
from skillpm.errors import SpecError, UsageError
from skillpm.pictures.formats import METAVAR
from skillpm.spec.budget import Budget
from skillpm.spec.location import is_url
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version
from skillpm.spec.weights import WeightArgument

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem


class ParsedParam(click.ParamType[Any]):
    """A parameter that a parser of `skillpm.spec` converts; its `SpecError` is a usage error."""

    def __init__(self, name: str, parse: Callable[[str], object]) -> None:
        self.name = name
        self._parse = parse

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> object:
        """Parse the text, or fail with the parser's message."""
        if not isinstance(value, str):
            return value
        try:
            return self._parse(value)
        except SpecError as problem:
            raise ParameterError(problem, param, ctx) from problem


class SkillParam(ParsedParam):
    """A skill name; shells complete the installed skills."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The installed skills whose names start with `incomplete`."""
        from click.shell_completion import CompletionItem

        del param
        return [CompletionItem(name) for name in _installed(ctx) if name.startswith(incomplete)]


def parse_releases(text: str) -> Requirement:
    """Parse a skill or a release. Raises `SpecError`; for a pack file, with the command for it."""
    try:
        return Requirement.parse(text)
    except SpecError as problem:
        if not text.endswith(".skillpack"):
            raise
        hint = f"`skillpm inspect {shlex.quote(text)}`"
        raise SpecError(f"`{text}` is a pack file, and no skill", hint=hint) from problem


class RequirementOrFileParam(click.ParamType[Any]):
    """A requirement or a pack file; shells complete both."""

    name = "REQ|FILE"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The installed skills whose names start with `incomplete`; if there are none, files."""
        from click.shell_completion import CompletionItem

        skills = SKILL.shell_complete(ctx, param, incomplete) if incomplete else []
        return skills or [CompletionItem(incomplete, type="file")]


class PackParam(click.ParamType[Any]):
    """A pack file, an installed skill or a release; shells complete all but releases."""

    name = "PACK"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the text; fail for a URL, which may contain a password."""
        if is_url(str(value)):
            self.fail("expected a pack file, a skill or a release, found a URL", param, ctx)
        return value

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> "list[CompletionItem]":
        """The installed skills whose names start with `incomplete`; if there are none, files."""
        return WANTED.shell_complete(ctx, param, incomplete)


def _installed(ctx: click.Context) -> list[str]:
    """The installed skills. Any error gives none, because a shell cannot show errors."""
    from skillpm.api.client import Client
    from skillpm.api.reading import installed_names
    from skillpm.cli.state import State

    return installed_names(Client(ctx.find_root().ensure_object(State).options))


SKILL = SkillParam("SKILL", SkillName.parse)
VERSION = ParsedParam("VERSION", Version.parse)
REQUIREMENT = ParsedParam("REQ", Requirement.parse)
MOVED = SkillParam("REQ", Requirement.parse)
RELEASES = SkillParam("SKILL", parse_releases)
BUDGET = ParsedParam("SIZE", Budget.parse)
WANTED = RequirementOrFileParam()
WEIGHT = ParsedParam("WEIGHT", WeightArgument.parse)
PACK = PackParam()

SOLVE_TIMEOUT = 60.0
TIMEOUT = click.option(
    "--timeout",
    metavar="SECONDS",
    type=FiniteRange(min=0),
    default=SOLVE_TIMEOUT,
    show_default=True,
    envvar="SKILLPM_SOLVE_TIMEOUT",
    help="Stop the dependency search after this time.",
)


def plot_option(text: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The option `--plot`, with this help; the ending of its file chooses the format."""
    return click.option("--plot", metavar=METAVAR, type=LocalPath(), help=text)


LOWEST = click.option(
    "--lowest", is_flag=True, help="Choose the lowest allowed versions, to test them."
)
ALLOW_YANKED = click.option(
    "--allow-yanked",
    is_flag=True,
    help="Allow yanked releases; the lock records that they are allowed.",
)


ACCEPT_FOOTPRINT = click.option(
    "--accept-footprint",
    is_flag=True,
    help="Accept packs for another base if all tensors that they change match.",
)


class ResolvingFlags(TypedDict):
    """The options that change what a resolution may choose."""

    lowest: bool
    allow_yanked: bool
    accept_footprint: bool


def refuse_together(flag: str, value: object, **others: object) -> None:
    """Raise `UsageError` if `flag` is set and any of the others too.

    `others` maps parameter names to their values; `allow_yanked` is the option `--allow-yanked`.
    """
    for name, other in others.items():
        if value and other:
            raise UsageError(
                f"`--{flag}` and `--{name.replace('_', '-')}` cannot be used together",
                hint=f"leave out `--{flag}` or `--{name.replace('_', '-')}`",
            )
