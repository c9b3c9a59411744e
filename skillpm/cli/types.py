"""Parameter types that every command shares: local paths, and finite numbers."""

import math
import os
from pathlib import Path
from typing import Any

import click

from skillpm.spec.location import is_url


class LocalPath(click.Path):
    """A path of this machine. A URL is refused without being shown: it may hold a password."""

    def __init__(self, **options: Any) -> None:
        super().__init__(path_type=Path, **options)

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "str | bytes | os.PathLike[str]":
        """As `click.Path`, for what is no URL."""
        if is_url(os.fspath(value)):
            self.fail("expected a path of this machine, found a URL", param, ctx)
        return super().convert(value, param, ctx)


class FiniteRange(click.FloatRange):
    """A range of numbers that nan, which compares with nothing, is not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """As `click.FloatRange`, for finite numbers."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number
