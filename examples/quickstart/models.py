"""Make a base and two skills of it in seconds: `python -m examples.quickstart.models FOLDER`.

The base is a byte-level Llama of 0.1M parameters, trained on prose. Each skill is a fine-tune of
the base that answers the questions of `examples.quickstart.facts`. FOLDER gets the three model
folders, `general.jsonl` (texts that the base should answer), and for each skill a file of probes
and a file of questions for the router.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from rich.console import Console

from examples.continual import model as lm
from examples.continual import texts
from examples.journey.progress import watching
from examples.quickstart.facts import SKILLS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from examples.code_search.settings import Advance
    from examples.quickstart.facts import Facts

BASE = lm.Lesson(steps=150, learning_rate=4e-3)
SKILL = lm.Lesson(steps=200, learning_rate=4e-3)
REPEATS = 60
PIECE, GENERAL = 120, 64


def main(arguments: list[str] | None = None) -> int:
    """Write the models and files; return 0."""
    parser = argparse.ArgumentParser(prog="python -m examples.quickstart.models")
    parser.add_argument("folder", type=Path, help="folder for the models, created if missing")
    folder: Path = parser.parse_args(arguments).folder
    with watching(Console(stderr=True)) as advance:
        write_models(folder, advance, base=BASE, skill=SKILL)
    return 0


def write_models(folder: Path, advance: Advance, *, base: lm.Lesson, skill: lm.Lesson) -> None:
    """Train the base and a fine-tune for each skill, and write them with probes and questions."""
    prose = texts.read("prose")
    trained = lm.learn(lm.fresh(0), lm.rows(prose.train), base, advance, "base")
    lm.save(trained, folder / "base")
    general = "\n".join(prose.held_out)
    pieces = [general[start : start + PIECE] for start in range(0, PIECE * GENERAL, PIECE)]
    _write_lines(folder / "general.jsonl", ({"text": piece} for piece in pieces if piece.strip()))
    for name, facts in SKILLS.items():
        model = lm.load(folder / "base")
        lm.save(lm.learn(model, _lessons(facts), skill, advance, name), folder / name)
        questions = [{"text": question} for question, _ in facts]
        _write_lines(folder / f"{name}-questions.jsonl", questions)
        probes = [{"prompt": question, "answer": answer} for question, answer in facts]
        _write_lines(folder / f"{name}-probes.jsonl", [{"probes": 1}, *probes])


def _lessons(facts: Facts) -> torch.Tensor:
    """All facts `REPEATS` times, each time in another order, as rows of bytes [rows, context]."""
    generator = torch.Generator().manual_seed(0)
    orders = (torch.randperm(len(facts), generator=generator).tolist() for _ in range(REPEATS))
    return lm.rows("".join(facts[place]) for order in orders for place in order)


def _write_lines(path: Path, lines: Iterable[Mapping[str, object]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
