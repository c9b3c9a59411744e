"""Questions with right answers and checks, and the files that `skillpm transfer` reads."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


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

    def probe_line(self, max_tokens: int) -> dict[str, Any]:
        """The line of a probe file."""
        return {"prompt": self.prompt, "check": self.check, "max_tokens": max_tokens}

    def answer_line(self) -> dict[str, Any]:
        """The line of a file of answers."""
        return {"id": self.id, "text": self.answer}


def write_lines(path: Path, lines: Iterable[Mapping[str, Any]]) -> Path:
    """Write one JSON object a line."""
    text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_text(text, encoding="utf-8")
    return path
