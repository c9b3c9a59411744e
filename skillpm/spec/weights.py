"""Weights of skills: their bounds, and weights that a command names."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from skillpm.errors import SpecError, UsageError
from skillpm.spec.faults import describe_value
from skillpm.spec.names import SkillName

WEIGHT_LIMIT = 1e6


def check_number(weight: object) -> object:
    """Return a number unchanged. Raises `ValueError` for another value."""
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise ValueError(f"expected a number, found {describe_value(weight)}")  # noqa: TRY004 - pydantic handles only ValueError
    return weight


def check_bounds(weight: float) -> float:
    """Return a weight within the limits unchanged. Raises `ValueError` for another, or NaN."""
    if not -WEIGHT_LIMIT < weight < WEIGHT_LIMIT:
        limits = f"-{WEIGHT_LIMIT:.0f} and {WEIGHT_LIMIT:.0f}"
        raise ValueError(f"expected a weight between {limits}, found {weight:g}")
    return weight


@dataclass(frozen=True)
class WeightArgument:
    """A weight of one skill, or without `skill` of all skills that the command names."""

    skill: SkillName | None
    weight: float

    @classmethod
    def parse(cls, text: str) -> "WeightArgument":
        """Read `0.5` or `acme/math=0.5`. Raises `SpecError`."""
        name, _, number = text.rpartition("=")
        skill = SkillName.parse(name) if name else None
        try:
            weight = float(number)
        except ValueError:
            raise SpecError(
                f"expected a number, or `SKILL=NUMBER`, found {describe_value(text)}",
                hint="`--weight 0.5`, or `--weight acme/math=0.5`",
            ) from None
        try:
            return cls(skill, check_bounds(weight))
        except ValueError as problem:
            raise SpecError(str(problem)) from None


WeightsGiven = float | Mapping[str, float] | Sequence[WeightArgument] | None


def weights_of(given: WeightsGiven, skills: Iterable[SkillName]) -> dict[SkillName, float]:
    """The weight of each skill that gets one: a number for all `skills`, or weights by name.

    Raises `UsageError` for weights without skills, for a skill that is not in `skills` or has two
    weights, and for a value that skillpm.toml cannot hold.
    """
    known = dict.fromkeys(skills)
    arguments = list(_arguments(given))
    common = [argument.weight for argument in arguments if argument.skill is None]
    named: dict[SkillName, float] = {}
    for argument in arguments:
        if argument.skill is None:
            continue
        if argument.skill in named:
            raise UsageError(f"`{argument.skill}` has two weights", hint="leave out one of them")
        named[argument.skill] = argument.weight
    if len(common) > 1:
        raise UsageError(
            f"two weights for all skills: {common[0]} and {common[1]}",
            hint="name the skill of each: `--weight acme/math=0.5 --weight acme/sql=0.8`",
        )
    if arguments and not known:
        raise _without_skills(arguments[0])
    for skill in named.keys() - known.keys():
        raise UsageError(
            f"`{skill}` has a weight but is not among the skills of this command",
            hint="name the skill too, or leave out its weight",
        )
    return {**(dict.fromkeys(known, common[0]) if common else {}), **named}


def _arguments(given: WeightsGiven) -> Iterable[WeightArgument]:
    if given is None:
        return ()
    if isinstance(given, int | float):
        return (WeightArgument(None, _checked(given)),)
    if isinstance(given, Mapping):
        return (WeightArgument(SkillName.parse(k), _checked(v)) for k, v in given.items())
    return given


def _checked(weight: object) -> float:
    """A weight from Python. Raises `UsageError`."""
    try:
        number = check_number(weight)
        return check_bounds(float(number))  # type: ignore[arg-type]  # `check_number` has checked
    except ValueError as problem:
        raise UsageError(f"`weight`: {problem}") from None


def _without_skills(argument: WeightArgument) -> UsageError:
    skill = argument.skill or "acme/math"
    return UsageError(
        "`--weight` needs a skill: name the skills whose weight it sets",
        hint=f"`skillpm install {skill} --weight {argument.weight}`",
    )
