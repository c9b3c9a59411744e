"""Places of layers on a horizontal axis: stacks side by side, and the numbers that fit."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from math import nan

from matplotlib.axes import Axes

from skillpm.pictures.canvas import QUIET, SMALL, safe
from skillpm.pictures.parts import Column

_WIDTH = 5.05
"""Inches of the axis."""
_CHARACTER, _SPACE = 0.085, 0.12
"""Inches of a character of a label, and between two labels."""
_DIGITS = 6
_STEPS = (1, 2, 5)
_FEWEST, _GAPS = 8, 100
"""The least length of the axis in layers, and the greatest with gaps between bars."""
_SHORTEST, _LONGEST = 8, 60
"""Characters of the name of a stack: a shorter cut says nothing."""


@dataclass(frozen=True)
class Stack:
    """A stack of layers: its name, and the places of its first and last layer."""

    name: str
    first: float
    last: float


@dataclass(frozen=True)
class Places:
    """The place of each layer. Stacks are apart by a few layers' width."""

    of: tuple[float, ...]
    stacks: tuple[Stack, ...]
    ticks: tuple[tuple[float, str], ...]

    @classmethod
    def arrange(cls, columns: tuple[Column, ...]) -> "Places":
        """Place the layers in order; label as many as have room."""
        names = [(name, len(list(group))) for name, group in groupby(c.stack for c in columns)]
        gap = max(1.0, 0.04 * len(columns)) if len(names) > 1 else 0.0
        places: list[float] = []
        stacks: list[Stack] = []
        start = 0.0
        for name, count in names:
            places += [start + number for number in range(count)]
            stacks.append(Stack(name, start, start + count - 1))
            start += count + gap
        labels = [safe(column.number, _DIGITS) for column in columns]
        return cls(tuple(places), tuple(stacks), _ticks(places, labels, stacks))

    @property
    def width(self) -> float:
        """The length of the axis in layers; a few layers get no wider than others."""
        return _length(self.stacks)

    def edges(self) -> list[float]:
        """Return the edges of the layers' bars, with gaps if they are wide enough to see."""
        half = 0.42 if self.width <= _GAPS else 0.5
        return [edge for place in self.of for edge in (place - half, place + half)]

    def broken(self, values: Sequence[float]) -> tuple[list[float], list[float]]:
        """Return the places and values of a line that is broken between two stacks."""
        last = {stack.last for stack in self.stacks[:-1]}
        places: list[float] = []
        heights: list[float] = []
        for place, value in zip(self.of, values, strict=True):
            places += [place, place + 0.5] if place in last else [place]
            heights += [value, nan] if place in last else [value]
        return places, heights

    def label(self, axes: Axes) -> None:
        """Set limits, numbers and the names of the stacks."""
        axes.set_xlim(-0.5, self.width - 0.5)
        axes.set_xticks([place for place, _ in self.ticks], [text for _, text in self.ticks])
        for stack in self.stacks:
            share = (stack.last - stack.first + 1) / self.width
            room = int(share * _WIDTH / (0.8 * _CHARACTER)) - 1
            name = stack.name or "the model"
            text = f"layer of {name}" if len(self.stacks) == 1 else name
            room = _LONGEST if len(self.stacks) == 1 else room
            if room < min(len(text), _SHORTEST):
                continue
            axes.annotate(
                safe(text, room),
                ((stack.first + stack.last) / 2, 0),
                (0, -16),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                fontsize=SMALL,
                color=QUIET,
                ha="center",
                va="top",
                annotation_clip=False,
            )


def _length(stacks: Sequence[Stack]) -> float:
    return max(stacks[-1].last + 1, _FEWEST)


def _ticks(
    places: Sequence[float], labels: Sequence[str], stacks: Sequence[Stack]
) -> tuple[tuple[float, str], ...]:
    """Return places and numbers of some layers, few enough that the labels do not overlap."""
    width = _length(stacks)
    longest = max(map(len, labels))
    room = (longest * _CHARACTER + _SPACE) * width / _WIDTH
    step = next(
        factor * 10**power for power in range(9) for factor in _STEPS if factor * 10**power >= room
    )
    ticks: list[tuple[float, str]] = []
    for place, label in zip(places, labels, strict=True):
        start = next(stack.first for stack in stacks if stack.first <= place <= stack.last)
        due = (place - start) % step == 0
        if due and (not ticks or place - ticks[-1][0] >= room):
            ticks.append((place, label))
    return tuple(ticks)
