"""Small Python functions of one number, from a description of their steps; judged by execution."""

from __future__ import annotations

from itertools import permutations
from typing import TYPE_CHECKING

from benchmarks.transfer.skills.drawing import Exercise, ItemGenerator

if TYPE_CHECKING:
    import random

_STEPS = {
    "{x} + {n}": ("add {n}", "plus {n}", "increase it by {n}"),
    "{x} - {n}": ("subtract {n}", "minus {n}", "decrease it by {n}"),
    "{x} * {n}": ("multiply by {n}", "times {n}", "scale it by {n}"),
    "{x} // {n}": ("divide by {n}, rounded down", "integer division by {n}", "floor-divide by {n}"),
    "{x} % {n}": ("take the remainder by {n}", "modulo {n}", "keep the rest modulo {n}"),
    "{x} ** 2": ("square it", "to the power of two", "take its square"),
    "abs({x})": ("take the absolute value", "drop the sign", "use its absolute value"),
    "-{x}": ("negate it", "flip the sign", "change the sign"),
    "max({x}, {n})": ("take the larger of it and {n}", "at least {n}", "raise it to {n} if lower"),
    "min({x}, {n})": ("take the smaller of it and {n}", "at most {n}", "cap it at {n}"),
}
"""The wordings of each operation on x."""
_QUESTIONS = (
    "Python function f(x): {first}, then {second}.",
    "Define f(x) in Python: {first}; {second}.",
    "Write f in Python, which takes x: {first}, and next {second}.",
)
_INPUTS = (-7, -1, 0, 2, 5, 12, 31)


def _make(subject: tuple[str, str], wording: int, draw: random.Random) -> Exercise:
    constants = [draw.randint(2, 9) for _ in subject]
    first, second = (
        _STEPS[step][wording].format(n=constant)
        for step, constant in zip(subject, constants, strict=True)
    )
    inner = subject[0].format(x="x", n=constants[0])
    outer = subject[1].format(x=f"({inner})", n=constants[1])
    tests = "\n".join(f"assert f({x}) == {_value(outer, x)}" for x in _INPUTS)
    return Exercise(
        prompt=_QUESTIONS[wording].format(first=first, second=second),
        answer=f"def f(x): return {outer}",
        check={"python": {"tests": tests}},
        form=" then ".join(subject),
    )


def _value(expression: str, x: int) -> int:
    """The value of one of our own expressions."""
    names = {"__builtins__": {}, "abs": abs, "max": max, "min": min, "x": x}
    return int(eval(expression, names))  # noqa: S307 - built from `_STEPS`


FUNCTIONS = ItemGenerator("functions", list(permutations(_STEPS, 2)), len(_QUESTIONS), _make)
