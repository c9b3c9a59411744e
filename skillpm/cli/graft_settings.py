"""The options of `graft` for one run: mode, method, its settings, and weights."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypedDict

import click

from skillpm.cli.params import WEIGHT, ParsedParam
from skillpm.errors import UsageError
from skillpm.spec.merging import MERGED, METHODS, ROUTED, read_setting

if TYPE_CHECKING:
    from skillpm.spec.weights import WeightArgument


class GraftFlags(TypedDict):
    """The options as click gives them; None and empty tuples for those that are not given."""

    mode: str | None
    methods: tuple[str, ...]
    density: float | None
    scale: float | None
    seed: int | None
    weights: "tuple[WeightArgument, ...]"


def _setting(name: str, metavar: str, text: str) -> Callable[..., Any]:
    """An option for a setting of the method. `GraftOverrides.apply` checks its range."""
    kind = ParsedParam(metavar, partial(read_setting, name))
    return click.option(f"--{name}", metavar=metavar, type=kind, help=text)


_OPTIONS = (
    click.option(
        "--mode",
        metavar="MODE",
        type=click.Choice((MERGED, ROUTED)),
        help="merged or routed, for this run (default: the lock's).",
    ),
    click.option(
        "--method",
        "methods",
        metavar="METHOD",
        type=click.Choice(tuple(METHODS)),
        multiple=True,
        help=f"{', '.join(METHODS)}: for this run (default: the lock's); --compare: repeatable.",
    ),
    _setting("density", "X", "Share of a delta that the method keeps, above 0, up to 1."),
    _setting("scale", "X", "Factor of the merged delta."),
    _setting("seed", "N", "Seed of the method dare."),
    click.option(
        "--weight",
        "weights",
        metavar="[SKILL=]W",
        type=WEIGHT,
        multiple=True,
        help="Weight for this run, of all skills or of SKILL; repeatable.",
    ),
)


def graft_settings(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options to a command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def settings_of(flags: GraftFlags) -> dict[str, float]:
    """The settings of the method that are given, by name."""
    given = {"density": flags["density"], "scale": flags["scale"], "seed": flags["seed"]}
    return {name: value for name, value in given.items() if value is not None}


def one_method(flags: GraftFlags) -> str | None:
    """The method of a graft. Raises `UsageError` if several are given."""
    methods = flags["methods"]
    if len(methods) > 1:
        raise UsageError(
            "a graft has one merging method; `--method` is given twice",
            hint=f"`skillpm graft --method {methods[-1]}`, or `skillpm graft --compare`",
        )
    return methods[0] if methods else None
