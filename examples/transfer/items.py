"""Questions with right answers and checks, and the files that `skillpm transfer` reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

_PATIENCE = 1000
"""Draws without a new item before a skill counts as exhausted."""


@dataclass(frozen=True, slots=True)
class Item:
    """A question, its right answer, the check of answers, and the template that it comes from."""

    id: str
    prompt: str
    answer: str
    check: Mapping[str, Any]
    template: str

    def prompt_line(self) -> dict[str, Any]:
        """The line of a prompt file."""
        return {"id": self.id, "prompt": self.prompt, "check": self.check, "tags": [self.template]}

    def answer_line(self) -> dict[str, Any]:
        """The line of a file of answers."""
        return {"id": self.id, "text": self.answer}


def distinct(items: Iterator[Item], count: int) -> list[Item]:
    """The first items with different prompts. Raises `ValueError` if there are too few."""
    found: dict[str, Item] = {}
    since = 0
    while len(found) < count:
        item = next(items)
        since = 0 if item.prompt not in found else since + 1
        if since > _PATIENCE:
            message = f"only {len(found)} different items, {count} are asked for"
            raise ValueError(message)
        found.setdefault(item.prompt, item)
    return list(found.values())


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write one JSON object a line."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path
