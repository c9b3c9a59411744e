"""The router on queries that no choice was based on: scores, general ability, regret.

The router's settings were chosen on the table's queries and on other queries of the same files. The
language model's rows here are of files that neither trained a skill nor influenced a choice; the
encoder's queries lie between those of the table.
"""

from __future__ import annotations

import functools
import json
import statistics
from collections import defaultdict
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from benchmarks.continual import texts
from benchmarks.continual.chains import INDIVIDUAL
from benchmarks.continual.evaluate import LOSSLESS, Evaluation, chosen, read
from benchmarks.continual.examinations import EXAMINATION, READERS, UNSEEN, Examination
from benchmarks.continual.language import BASE, QUERIES, LanguageSubject, spread
from benchmarks.continual.packed import Installed, skill_of
from benchmarks.continual.sentences import SentencesSubject
from benchmarks.continual.settings import SEEN, Language, Sentences, plain
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes import tokens
from benchmarks.finetunes.cache import made, sha256
from benchmarks.tools.table import Table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.continual.chains import Chains
    from benchmarks.continual.subject import Subject

ROWS = 96
LETTERS = 0.2
"""Rows with a smaller share of letters are generated tables."""


class UnseenRows(LanguageSubject):
    """The same model and domains, with rows of other files as queries."""

    def __init__(self, cache: Path) -> None:
        super().__init__(cache)
        folders = {kind: _rows(cache, kind) for kind in self._rows}
        self.data = {kind: sha256(folder / "rows") for kind, folder in folders.items()}
        self._queries: dict[str, list[str]] = {}
        for kind, folder in folders.items():
            self._rows[kind]["held_out"] = load_file(folder / "rows")["unseen"]
            self._queries[kind] = json.loads((folder / QUERIES).read_text(encoding="utf-8"))

    def queries(self, task: str) -> list[str]:
        """The first half of each row."""
        return self._queries[task]


class UnseenSentences(SentencesSubject):
    """The same encoder and tasks, with other queries."""

    def __init__(self, cache: Path) -> None:
        super().__init__(cache)
        files = {task: _examination(cache, task) / EXAMINATION for task in READERS}
        self.data = {task: sha256(file) for task, file in files.items()}
        for task, file in files.items():
            self._examined[task] = Examination(**json.loads(file.read_text(encoding="utf-8")))


def of(cache: Path, subject: Subject) -> UnseenRows | UnseenSentences:
    """The same subject with other queries; half a minute for each task, once."""
    return UnseenRows(cache) if subject.name == LanguageSubject.name else UnseenSentences(cache)


def _rows(cache: Path, kind: str) -> Path:
    """CACHE/unseen/KIND: rows of files on neither side of the table, and their first halves."""
    model = cache / BASE / "model"
    known = sha256(cache / "domains" / kind / "rows")

    def work(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(model)
        documents = texts.split(kind).calibration
        rows = spread(tokens.rows(tokenizer, documents, context=Language().context), ROWS)
        save_file({"unseen": rows.to(torch.int32)}, folder / "rows")
        seen = tokenizer.batch_decode(rows[:, :SEEN])
        (folder / QUERIES).write_text(json.dumps(seen), encoding="utf-8")

    return made(cache / "unseen" / kind, {"domain": known, "rows": ROWS}, work).folder


def _examination(cache: Path, task: str) -> Path:
    """CACHE/unseen-tasks/TASK: queries that the table's examination left out."""
    known = sha256(cache / "tasks" / task / EXAMINATION)
    wanted = {"table": known, "settings": plain(Sentences())}

    def work(folder: Path) -> None:
        _, found, _ = READERS[task](UNSEEN)
        (folder / EXAMINATION).write_text(json.dumps(asdict(found)), encoding="utf-8")

    return made(cache / "unseen-tasks" / task, wanted, work).folder


class Unseen:
    """Answers and routes of one seed."""

    def __init__(self, cache: Path, subject: Subject, seed: int, chains: Chains) -> None:
        self.subject = of(cache, subject)
        self._chains = chains
        self._packs = Evaluation(cache, self.subject, seed, chains)

    def run(self) -> None:
        """Compute what is missing, with the packs of the table."""
        asked: Mapping[str, Any] = {"unseen": self.subject.data}
        self._packs.part("unseen-answers", self._answers, asked)
        self._packs.part("unseen-routed", self._routed, {**asked, **self._packs.routing})

    @functools.cached_property
    def routed(self) -> dict[str, list[str | None]] | None:
        """The skill chosen for each query, by task."""
        found: dict[str, list[str | None]] | None = self._packs.result("unseen-routed")
        return found

    @functools.cached_property
    def alone(self) -> dict[str, dict[str, Answers]]:
        """Answers of each skill and of the base to every query."""
        found = self._packs.result("unseen-answers")
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


def table(found: list[Unseen]) -> Table:
    """Shares routed right and to the base, scores, and regret against the oracle, by task."""
    subject = found[0].subject
    many = len(subject.queries(GENERAL))
    title = (
        f"The router, {subject.name}, on queries that nothing was chosen by: {many} a kind, "
        f"{len(found)} seeds"
    )
    columns = ("own skill", "base", "score of base", "of oracle", "of router", "gain", "of it")
    shown = Table(title, ("queries of", *columns))
    for task in subject.tasks:
        shown.row(task, *_line([(one, task, None) for one in found]))
    shown.row("**all**", *_line([(one, task, None) for task in subject.tasks for one in found]))
    shown.row("general", *_line([(one, GENERAL, None) for one in found]))
    written = [not _is_table(text) for text in subject.queries(GENERAL)]
    if not all(written):
        shown.row("general, no tables", *_line([(one, GENERAL, written) for one in found]))
    return shown


def _line(asked: list[tuple[Unseen, str, list[bool] | None]]) -> list[str]:
    own, base = [], []
    scores: dict[str, list[float]] = {"base": [], "oracle": [], "router": []}
    gained: dict[tuple[str, int], list[float]] = defaultdict(list)
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
            scores[name] += [found.scores[at] for at in use]
        for at in use:
            gained[task, at].append(answers["router"].scores[at] - answers["oracle"].scores[at])
    means = {name: statistics.mean(each) for name, each in scores.items()}
    shares = [f"{100 * statistics.mean(each):.1f} %" for each in (own, base)]
    values = [f"{means[name]:.3f}" for name in ("base", "oracle", "router")]
    return [*shares, *values, *_gain(list(map(statistics.mean, gained.values())), means["oracle"])]


def _gain(each: list[float], oracle: float) -> list[str]:
    """Mean over queries and seeds; its share of the oracle's ± a standard error."""
    mean, error = statistics.mean(each), statistics.stdev(each) / len(each) ** 0.5
    part, spread = (100 * one / abs(oracle) for one in (mean, error))
    return [f"{mean:+.3f}", f"{part:+.2f} ± {spread:.2f} %"]


def _is_table(text: str) -> bool:
    return sum(one.isalpha() for one in text) < LETTERS * len(text)
