"""click parameter types: local paths and finite numbers, and the error of a bad value."""

import math
import os
from pathlib import Path
from typing import Any

import click

from skillpm.errors import SpecError
from skillpm.files.shown import tidy
from skillpm.spec.location import is_url


class ParameterError(click.BadParameter):
    """A bad value of a parameter, with the hint of the `SpecError` that it caused."""

    def __init__(
        self, problem: SpecError, param: click.Parameter | None, ctx: click.Context | None
    ) -> None:
        super().__init__(problem.message, ctx, param)
        self.hint = problem.hint


class LocalPath(click.Path):
    """A path on this machine. A URL is refused and not printed: it may contain a password."""

    def __init__(
        self,
        *,
        exists: bool = False,
        file_okay: bool = True,
        dir_okay: bool = True,
        allow_dash: bool = False,
    ) -> None:
        super().__init__(
            exists=exists,
            file_okay=file_okay,
            dir_okay=dir_okay,
            allow_dash=allow_dash,
            path_type=Path,
        )

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "str | bytes | os.PathLike[str]":
        """Convert like `click.Path`, without needless `..`; fail for a URL."""
        if is_url(os.fspath(value)):
            self.fail("expected a path on this machine, found a URL", param, ctx)
        path = super().convert(value, param, ctx)
        return tidy(path) if isinstance(path, Path) else path


class ModelPath(LocalPath):
    """A model: a path on this machine, or `org/model[@revision]` of the Hugging Face cache."""

    def convert(
        self,
        value: "str | os.PathLike[str]",
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> "str | bytes | os.PathLike[str]":
        """Convert like `LocalPath`. A missing path that starts with `./` becomes absolute.

        `Path` removes the `./`, and the rest could be taken for the name of another model.
        """
        path = super().convert(value, param, ctx)
        is_dotted = os.fspath(value).startswith("./")
        return (
            Path(os.fspath(value)).absolute() if is_dotted and not os.path.lexists(path) else path
        )


class FiniteRange(click.FloatRange):
    """A range of finite numbers. `click.FloatRange` accepts NaN and infinities."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert like `click.FloatRange`; fail for NaN and infinities."""
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number", param, ctx)
        return number
