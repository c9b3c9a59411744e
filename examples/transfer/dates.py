"""Dates as compact JSON: the second skill, learnt from a file of answers."""

from __future__ import annotations

import random

from examples.transfer.items import Item

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip
WORDINGS = (
    "Date to fields: {day} {month} {year}",
    "Date to fields: {month} {day}, {year}",
)


def dates(count: int, *, seed: str) -> list[Item]:
    """Items with different dates; the same seed gives the same items."""
    draw = random.Random(f"dates/{seed}")  # noqa: S311 - examples, not keys
    found: dict[str, Item] = {}
    while len(found) < count:
        number = len(found)
        month, day, year = draw.randint(1, 12), draw.randint(1, 28), draw.randint(1900, 2030)
        wording = number % len(WORDINGS)
        prompt = WORDINGS[wording].format(day=day, month=MONTHS[month - 1], year=year)
        answer = f'{{"y": {year}, "m": {month}, "d": {day}}}'
        item = Item(
            f"{seed}/{number}", prompt, answer, {"equals": answer}, f"dates, wording {wording}"
        )
        found.setdefault(prompt, item)
    return list(found.values())
