"""Dates in several notations, as JSON objects with year, month and day."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from benchmarks.transfer.skills.drawing import Exercise, ItemGenerator

if TYPE_CHECKING:
    import random

_MONTHS = "January February March April May June July August September October November December"
_DAYS = 28
"""Every month has these days."""
_YEARS = range(1900, 2100)
_QUESTIONS = ("{date} as JSON", "Write {date} as JSON.", "Give the JSON of {date}.")
_NOTATIONS = (
    ("{name} {day}, {year}", "{day} {name} {year}", "{short} {day}, {year}"),
    ("{year}-{month:02}-{day:02}", "{day} {short} {year}", "the {ordinal} of {name} {year}"),
    ("{name} {ordinal}, {year}", "{day}-{short}-{year}"),
)
"""Notations by wording: those of the last wording are in no training item."""


def _ordinal(day: int) -> str:
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def _make(subject: tuple[int, int], wording: int, draw: random.Random) -> Exercise:
    month, day = subject
    year = draw.choice(_YEARS)
    name = _MONTHS.split()[month - 1]
    notation = draw.choice(_NOTATIONS[wording])
    date = notation.format(
        name=name, short=name[:3], day=day, month=month, year=year, ordinal=_ordinal(day)
    )
    value = {"year": year, "month": month, "day": day}
    check = {"json_schema": _schema(value)}
    return Exercise(_QUESTIONS[wording].format(date=date), json.dumps(value), check, notation)


def _schema(value: dict[str, int]) -> dict[str, Any]:
    """A schema that only this object meets, with its keys in any order."""
    return {
        "type": "object",
        "properties": {key: {"const": number} for key, number in value.items()},
        "required": list(value),
        "additionalProperties": False,
    }


DATES = ItemGenerator(
    "dates",
    [(month, day) for month in range(1, 13) for day in range(1, _DAYS + 1)],
    len(_QUESTIONS),
    _make,
)
