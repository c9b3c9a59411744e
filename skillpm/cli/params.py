"""Words of the vocabulary as click parameter types: a bad one is a usage error."""

from collections.abc import Callable
from typing import Any

import click

from skillpm.errors import SpecError
from skillpm.spec.budget import Budget
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version


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


SKILL = Word("SKILL", SkillName.parse)
VERSION = Word("VERSION", Version.parse)
REQUIREMENT = Word("REQ", Requirement.parse)
BUDGET = Word("SIZE", Budget.parse)
