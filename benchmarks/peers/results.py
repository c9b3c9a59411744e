"""Measured rows as JSON lines, appended one by one, so that an interrupted run can continue."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One fine-tune, one method, one budget.

    `budget`: `own`, or a multiple of the recipe's bytes (`1x`, `0.5x`), or `keep99-1` and on for
    the steps of a search. `dense`: bytes of the delta in bf16. `kept`: for a causal LM the share
    of the loss gain, for an encoder the share of the squared distance between base and tuned
    embeddings that is closed. `detail`: all figures of the evaluator. `digest`: of the tuned
    weights.
    """

    finetune: str
    digest: str
    kind: str
    seed: int
    method: str
    budget: str
    bytes: int
    dense: int
    kept: float
    seconds: float
    detail: dict[str, float] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """The fine-tune without its seed: `lm-headers`."""
        return self.finetune.rpartition("-")[0]

    @property
    def key(self) -> tuple[str, str, str, str]:
        """The fields that identify a measurement."""
        return self.finetune, self.digest, self.method, self.budget


class Results:
    """The rows of a JSON-lines file; an incomplete last line is ignored and measured again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[tuple[str, str, str, str], Row] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                row = Row(**json.loads(line))
            except (ValueError, TypeError):
                continue
            self._rows[row.key] = row
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def find(self, key: tuple[str, str, str, str]) -> Row | None:
        """A row that was measured before."""
        return self._rows.get(key)

    def add(self, row: Row) -> Row:
        """Add a row, on disk first."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row), default=float) + "\n")
        self._rows[row.key] = row
        return row

    def drop(self, finetune: str, methods: list[str]) -> None:
        """Remove all rows of these methods, on disk too."""
        self._rows = {
            key: row
            for key, row in self._rows.items()
            if row.finetune != finetune or row.method not in methods
        }
        self._path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self._path.with_suffix(".fresh")
        lines = (json.dumps(asdict(row), default=float) + "\n" for row in self._rows.values())
        fresh.write_text("".join(lines), encoding="utf-8")
        fresh.replace(self._path)

    def of(self, digests: dict[str, str]) -> list[Row]:
        """All rows of these fine-tunes in their current state, by name and digest."""
        return [row for row in self._rows.values() if digests.get(row.finetune) == row.digest]
