"""The language model's router on held-out rows that nothing was chosen by: ACC, general, regret.

The router's settings were picked by looking at the 32 rows a domain of the table. These are 96
others of the same held-out files, drawn up afterwards.
"""

from __future__ import annotations

import functools
import json
import statistics
from dataclasses import asdict
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from benchmarks.continual import texts
from benchmarks.continual.chains import INDIVIDUAL
from benchmarks.continual.evaluate import LOSSLESS, Evaluation, chosen, read
from benchmarks.continual.language import BASE, QUERIES, LanguageSubject, places, spread
from benchmarks.continual.packed import Installed, skill_of
from benchmarks.continual.settings import SEEN, Language
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes import tokens
from benchmarks.finetunes.cache import made, sha256
from benchmarks.table import Table

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.continual.chains import Chains

FRESH_ROWS = 96
LETTERS = 0.2
"""Rows with a smaller share of letters are tables that a script wrote."""


class FreshSubject(LanguageSubject):
    """The same model and domains, asked by other rows."""

    def __init__(self, cache: Path) -> None:
        super().__init__(cache)
        self.folders = {kind: _rows(cache, kind) for kind in self._rows}
        for kind, folder in self.folders.items():
            self._rows[kind]["held_out"] = load_file(folder / "rows")["fresh"]

    def queries(self, task: str) -> list[str]:
        """The first half of each row."""
        found: list[str] = json.loads((self.folders[task] / QUERIES).read_text(encoding="utf-8"))
        return found


def _rows(cache: Path, kind: str) -> Path:
    """CACHE/fresh/KIND: rows of held-out files but those of the table, and their first halves."""
    model, asked = cache / BASE / "model", Language()
    known = sha256(cache / "domains" / kind / "rows")

    def work(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(model)
        rows = tokens.rows(tokenizer, texts.split(kind).held_out, context=asked.context)
        used = set(places(len(rows), asked.held_out).tolist())
        fresh = spread(rows[[at for at in range(len(rows)) if at not in used]], FRESH_ROWS)
        save_file({"fresh": fresh.to(torch.int32)}, folder / "rows")
        seen = tokenizer.batch_decode(fresh[:, :SEEN])
        (folder / QUERIES).write_text(json.dumps(seen), encoding="utf-8")

    return made(cache / "fresh" / kind, {"domain": known, "rows": FRESH_ROWS}, work).folder


class Fresh:
    """One seed's answers and routes."""

    def __init__(self, cache: Path, seed: int, chains: Chains) -> None:
        self.subject = FreshSubject(cache)
        self._chains = chains
        self._packs = Evaluation(cache, self.subject, seed, chains)

    def run(self) -> None:
        """Make what is not there yet; the packs are the table's own."""
        data = {kind: sha256(folder / "rows") for kind, folder in self.subject.folders.items()}
        self._packs.part("fresh-answers", self._answers, data)
        self._packs.part("fresh-routed", self._routed, {**data, **self._packs.routing})

    @functools.cached_property
    def routed(self) -> dict[str, list[str | None]] | None:
        """The skill of each query, by task."""
        found: dict[str, list[str | None]] | None = self._packs.result("fresh-routed")
        return found

    @functools.cached_property
    def alone(self) -> dict[str, dict[str, Answers]]:
        """What each skill and the base answer to every query."""
        found = self._packs.result("fresh-answers")
        return {skill: read(one) for skill, one in found.items()}

    def _answers(self) -> dict[str, dict[str, dict[str, list[float]]]]:
        subject = self.subject
        folders = {"base": subject.base}
        for place, task in enumerate(subject.tasks):
            folders[skill_of(task)] = self._chains.folder(INDIVIDUAL, place) / "model"
        found = {}
        for name, folder in folders.items():
            model = subject.load(folder)
            asked = (*subject.tasks, GENERAL)
            found[name] = {task: asdict(subject.answers(model, task)) for task in asked}
        return found

    def _routed(self) -> dict[str, list[str | None]]:
        subject = self.subject
        with Installed(self._packs.folder / LOSSLESS, subject) as installed:
            asked = {task: subject.queries(task) for task in (*subject.tasks, GENERAL)}
            return installed.routed(asked)[-1]


def table(found: list[Fresh]) -> Table:
    """Of each domain and of general text: right, to the base; nats; regret against the oracle."""
    title = (
        f"The router on rows that nothing was chosen by: {FRESH_ROWS} a kind, {len(found)} seeds"
    )
    columns = ("own skill", "base", "base, nats", "oracle", "router", "regret, nats", "of it")
    shown = Table(title, ("queries of", *columns))
    subject = found[0].subject
    for task in subject.tasks:
        shown.row(task, *_line([(one, task, None) for one in found]))
    shown.row(
        "**all five**", *_line([(one, task, None) for task in subject.tasks for one in found])
    )
    written = [not _is_table(text) for text in subject.queries(GENERAL)]
    shown.row("general", *_line([(one, GENERAL, None) for one in found]))
    shown.row("general, no tables", *_line([(one, GENERAL, written) for one in found]))
    return shown


def _line(asked: list[tuple[Fresh, str, list[bool] | None]]) -> list[str]:
    own, base = [], []
    nats: dict[str, list[float]] = {"base": [], "oracle": [], "router": []}
    for one, task, kept in asked:
        routed = one.routed or {}
        skills = routed[task]
        right = None if task == GENERAL else skill_of(task)
        answers = {
            "base": one.alone["base"][task],
            "oracle": one.alone[right or "base"][task],
            "router": chosen(one.alone, task, skills),
        }
        use = [at for at in range(len(skills)) if kept is None or kept[at]]
        own += [skills[at] == right for at in use]
        base += [skills[at] is None for at in use]
        for name, found in answers.items():
            nats[name] += [found.losses[at] for at in use]
    means = {name: statistics.mean(each) for name, each in nats.items()}
    lost = means["router"] - means["oracle"]
    shares = [f"{100 * statistics.mean(each):.1f} %" for each in (own, base)]
    values = [f"{means[name]:.3f}" for name in ("base", "oracle", "router")]
    return [*shares, *values, f"{lost:+.3f}", f"{100 * lost / means['oracle']:+.2f} %"]


def _is_table(text: str) -> bool:
    return sum(one.isalpha() for one in text) < LETTERS * len(text)
