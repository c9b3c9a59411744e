"""The rows of the table: each method's matrix for every seed, with bytes and seconds."""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from benchmarks.continual import chains as trained
from benchmarks.continual import measures
from benchmarks.continual.chains import ADAPTER, answers
from benchmarks.continual.evaluate import LOSSLESS, SMALL, SMALL_ANSWERS, Evaluation, chosen
from benchmarks.continual.packed import skill_of
from benchmarks.continual.subject import GENERAL, Answers
from skillpm.spec.merging import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.continual.chains import Chains
    from benchmarks.continual.subject import Subject

TITLES = {
    trained.SEQUENTIAL: "sequential fine-tuning",
    trained.LORA: "LoRA in sequence",
    trained.EWC: "EWC",
    trained.REPLAY: "replay, 10 %",
}
BASE, MERGED, ORACLE, ROUTER = "base", "packs merged, {}", "packs, oracle", "packs, router"
FEW = ", 5 % packs"
ORDER = [
    *(BASE, *TITLES.values()),
    *(MERGED.format(method) for method in METHODS),
    *(ORACLE, ROUTER, ORACLE + FEW, ROUTER + FEW),
]
Stages = list[dict[str, Answers]]
"""For each stage: the answers to every task's queries and to the general queries."""

Part = tuple[str, Stages, int, float | None]
"""A row's title, and its stages, bytes and seconds per query for one seed."""


@dataclass
class Row:
    """One method over the available seeds."""

    title: str
    tasks: tuple[str, ...]
    kept: list[Stages] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    seconds: list[float | None] = field(default_factory=list)

    @property
    def staged(self) -> bool:
        """Whether every seed has all stages and not only the last."""
        return all(len(stages) == len(self.tasks) for stages in self.kept)

    def matrix(self, place: int) -> list[list[float]]:
        """R of one seed."""
        return [[_mean(stage[task]) for task in self.tasks] for stage in self.kept[place]]

    def end(self, task: str) -> float:
        """The mean score on a task after the last stage."""
        return statistics.mean(_mean(stages[-1][task]) for stages in self.kept)

    def over_seeds(self, measure: Any) -> tuple[float, float]:
        """Mean and standard deviation of a measure of R."""
        found = [measure(self.matrix(place)) for place in range(len(self.kept))]
        return statistics.mean(found), statistics.stdev(found) if len(found) > 1 else 0.0

    @property
    def accuracy(self) -> float:
        """The mean ACC."""
        return self.over_seeds(measures.accuracy)[0]


def rows(cache: Path, subject: Subject, seeds: list[tuple[Chains, Evaluation]]) -> list[Row]:
    """All rows, each over the seeds whose parts exist."""
    found: dict[str, Row] = {}
    for chains, evaluation in seeds:
        parts = [*_trained(cache, subject, chains, evaluation), *_of_packs(subject, evaluation)]
        for title, stages, size, seconds in parts:
            row = found.setdefault(title, Row(title, subject.tasks))
            row.kept.append(stages)
            row.sizes.append(size)
            row.seconds.append(seconds)
    return sorted(found.values(), key=lambda row: ORDER.index(row.title))


def _trained(
    cache: Path, subject: Subject, chains: Chains, evaluation: Evaluation
) -> Iterator[Part]:
    seconds, count = evaluation.seconds("base"), len(subject.tasks)
    weights = (subject.base / "model.safetensors").stat().st_size
    base = answers(cache / f"{subject.name}-base-answers")
    yield BASE, [base] * count, weights, seconds
    for method, title in TITLES.items():
        folders = [chains.folder(method, place) for place in range(count)]
        size = weights
        if method == trained.LORA:
            size = (folders[-1] / ADAPTER / "adapter_model.safetensors").stat().st_size
        yield title, [answers(one) for one in folders], size, seconds


def _of_packs(subject: Subject, evaluation: Evaluation) -> Iterator[Part]:
    for method in METHODS:
        if (stages := evaluation.merged(method)) is not None:
            size = evaluation.bytes_of(LOSSLESS)
            yield MERGED.format(method), stages, size, evaluation.seconds("base")
    for part, kind, label in (("live", LOSSLESS, ""), (SMALL_ANSWERS, SMALL, FEW)):
        if evaluation.result(part) is not None:
            alone = evaluation.alone(small=kind == SMALL)
            size = evaluation.bytes_of(kind)
            told = _oracle(subject, alone)
            yield ORACLE + label, told, size, evaluation.seconds("oracle")
            routed = _routed(alone, evaluation.result("routed"))
            yield ROUTER + label, routed, size, evaluation.seconds("router")


def _oracle(subject: Subject, alone: dict[str, dict[str, Answers]]) -> Stages:
    """The query's task is given: a later pack cannot change an earlier answer."""
    tasks = subject.tasks
    return [
        {
            task: alone[skill_of(task) if task in tasks[: stage + 1] else "base"][task]
            for task in (*tasks, GENERAL)
        }
        for stage in range(len(tasks))
    ]


def _routed(
    alone: dict[str, dict[str, Answers]], decided: list[dict[str, list[str | None]]]
) -> Stages:
    return [
        {task: chosen(alone, task, skills) for task, skills in stage.items()} for stage in decided
    ]


def _mean(found: Answers) -> float:
    return statistics.mean(found.scores)
