"""The options of `graft` for one run: mode, method, its settings, and weights."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypedDict

import click

from skillpm.cli.params import WEIGHT
from skillpm.cli.types import FiniteRange
from skillpm.errors import UsageError
from skillpm.spec.merging import MERGED, METHODS, ROUTED

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


_DENSITY, _SCALE, _SEED = (METHODS["dare"][name] for name in ("density", "scale", "seed"))
_OPTIONS = (
    click.option(
        "--mode",
        type=click.Choice((MERGED, ROUTED)),
        help="Mode for this run (default: the lock's).",
    ),
    click.option(
        "--method",
        "methods",
        type=click.Choice(tuple(METHODS)),
        multiple=True,
        help="Merging method for this run (default: the lock's); with --compare, repeatable.",
    ),
    click.option(
        "--density",
        metavar="X",
        type=FiniteRange(min=_DENSITY.low, max=_DENSITY.high, min_open=True),
        help="Share of a delta that the method keeps.",
    ),
    click.option(
        "--scale",
        metavar="X",
        type=FiniteRange(min=_SCALE.low, max=_SCALE.high, min_open=True),
        help="Factor of merged values.",
    ),
    click.option(
        "--seed",
        metavar="N",
        type=click.IntRange(int(_SEED.low), int(_SEED.high)),
        help="Seed of `dare`.",
    ),
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
