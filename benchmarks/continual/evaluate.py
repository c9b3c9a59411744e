"""The rows that are made of packs: each part of it is kept, by what it was made from."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.continual import packed
from benchmarks.continual.chains import INDIVIDUAL
from benchmarks.continual.packed import Installed, skill_of
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes.cache import made, record, sha256
from skillpm.spec.merging import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.continual.chains import Chains
    from benchmarks.continual.subject import Subject

RESULT = "result.json"
LOSSLESS, SMALL = "lossless", "small"


class Evaluation:
    """Of one subject and seed whose individual fine-tunes are there."""

    def __init__(self, cache: Path, subject: Subject, seed: int, chains: Chains) -> None:
        self.folder = cache / f"{subject.name}-packs-{seed}"
        self._subject, self._chains = subject, chains
        places = range(len(subject.tasks))
        tuned = [chains.folder(INDIVIDUAL, place) for place in places]
        self.ready = all(record(one) is not None for one in tuned)
        self._wanted: dict[str, Any] = {}
        if self.ready:
            self._wanted = {
                "models": [sha256(one / "model" / "model.safetensors") for one in tuned],
                "subject": subject.fingerprint(),
                "examples": [sha256(subject.examples(task)) for task in subject.tasks],
            }

    def run(self, *, small: bool) -> None:
        """Make every part that is not there yet."""
        self._project(LOSSLESS, None)
        self._part("live", lambda: self._live(LOSSLESS))
        self._part("routed", self._routed)
        for method in METHODS:
            self._part(f"merged-{method}", lambda method=method: self._merged(method))
        self._part("seconds", self._seconds)
        if small:
            self._project(SMALL, packed.SMALL)
            self._part("live-small", lambda: self._live(SMALL))

    def result(self, name: str) -> Any:
        """A part as it was written; None where it is not there."""
        path = self.folder / name / RESULT
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def whole(self) -> bool:
        """Whether all parts are there but those of small packs."""
        parts = ["live", "routed", "seconds", *(f"merged-{method}" for method in METHODS)]
        return all(self.result(part) is not None for part in parts)

    def bytes_of(self, kind: str) -> int:
        """The bytes of all pack files."""
        return packed.pack_bytes(self.folder / kind)

    def _project(self, kind: str, budget: str | None) -> None:
        wanted = {**self._wanted, "budget": budget}
        place = self.folder / kind
        packed.project(place, self._subject, self._chains, wanted=wanted, budget=budget)

    def _part(self, name: str, work: Callable[[], Any]) -> None:
        def write(folder: Path) -> None:
            (folder / RESULT).write_text(json.dumps(work()), encoding="utf-8")

        made(self.folder / name, {**self._wanted, "part": name}, write)

    def _open(self, kind: str) -> Installed:
        return Installed(self.folder / kind, self._subject)

    def _live(self, kind: str) -> dict[str, Any]:
        """What each skill answers to every query, and the base again after all switching."""
        tasks = (*self._subject.tasks, GENERAL)
        with self._open(kind) as installed, torch.inference_mode():
            model = installed.live()
            found: dict[str, Any] = {}
            for skill in [*map(skill_of, self._subject.tasks), "base"]:
                with model.skill(None if skill == "base" else skill):
                    found[skill] = {
                        task: asdict(self._subject.answers(model, task)) for task in tasks
                    }
            return found

    def _routed(self) -> list[dict[str, list[str | None]]]:
        tasks = (*self._subject.tasks, GENERAL)
        with self._open(LOSSLESS) as installed:
            return installed.routed({task: self._subject.queries(task) for task in tasks})

    def _merged(self, method: str) -> list[dict[str, Any]]:
        """After each pack: the matrix of all stages."""
        stages = []
        with self._open(LOSSLESS) as installed:
            for count in range(1, len(self._subject.tasks) + 1):
                found = installed.merged(method, count)
                stages.append({task: asdict(one) for task, one in found.items()})
        return stages

    def _seconds(self) -> dict[str, float]:
        with self._open(LOSSLESS) as installed:
            return installed.seconds(
                installed.live(), self._subject.queries(self._subject.tasks[0])
            )


def chosen(answers: dict[str, dict[str, Answers]], task: str, skills: list[str | None]) -> Answers:
    """Of each query the answer of the skill that it went to, the base's where that is none."""
    given = [answers[skill or "base"][task] for skill in skills]
    return Answers(
        scores=[one.scores[place] for place, one in enumerate(given)],
        losses=[one.losses[place] for place, one in enumerate(given)],
    )
