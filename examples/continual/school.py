"""The models and files for the example's commands: a base, and ten fine-tunes of it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from examples.continual import model as lm
from examples.continual import texts
from examples.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from examples.code_search.settings import Advance

BASE = lm.Lesson(steps=300, learning_rate=4e-3)
SKILL = lm.Lesson(steps=40, learning_rate=3e-3)
PROBES, EXAMPLES, PIECE = 24, 160, 192
# The router of so small a base makes errors: the share of its gain that a probe may lose.
TOLERANCE = 0.3


@dataclass(frozen=True, slots=True)
class Learnt:
    """One skill before packing: the tuned model, its probes and its examples for the router."""

    name: str
    tuned: Path
    probes: Path
    router: Path
    base_loss: float
    tuned_loss: float
    seconds: float


def base(folder: Path, advance: Advance) -> Path:
    """Train the base on Python's sources, unless it exists."""
    place = folder / "base"
    if not (place / "model.safetensors").exists():
        rows = lm.rows(texts.sources())
        learnt = lm.learn(lm.fresh(0), rows, BASE, advance, "the base, on Python sources")
        lm.save(learnt, place)
    return place


def learn(folder: Path, kind: str, number: int, advance: Advance) -> Learnt:
    """Tune a copy of the base on one kind of text. No skill sees another's text."""
    started = time.monotonic()
    found = texts.read(kind)
    held_out = lm.rows(found.held_out)
    model = lm.load(folder / "base")
    before = lm.loss(model, held_out)
    lm.learn(model, lm.rows(found.train), replace(SKILL, seed=number), advance, kind)
    after = lm.loss(model, held_out)
    if after >= before:
        raise DemoError(f"training on {kind} did not reduce the loss, so there is no skill to pack")
    tuned = lm.save(model, folder / "tuned" / kind)
    head = {"probes": 1, "tolerance": TOLERANCE}
    items = [{"text": piece} for piece in _pieces(found.held_out, PROBES)]
    probes = _lines(folder / "files" / f"{kind}-probes.jsonl", [head, *items])
    examples = [{"text": piece} for piece in _pieces(found.train, EXAMPLES)]
    router = _lines(folder / "files" / f"{kind}-router.jsonl", examples)
    seconds = time.monotonic() - started
    return Learnt(kind, tuned, probes, router, before, after, seconds)


def _pieces(documents: tuple[str, ...], count: int) -> list[str]:
    """Pieces of one length, from all parts of the documents."""
    line = "\n".join(documents)
    step = max(PIECE, len(line) // count)
    pieces = (line[start : start + PIECE] for start in range(0, len(line), step))
    return [piece for piece in pieces if piece.strip()][:count]


def _lines(path: Path, lines: Sequence[Mapping[str, object]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
    return path
