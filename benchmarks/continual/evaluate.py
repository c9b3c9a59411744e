"""The rows of the table that use packs; each result is cached with a record of its inputs."""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.continual import packed
from benchmarks.continual.chains import INDIVIDUAL
from benchmarks.continual.chains import answers as answers_in
from benchmarks.continual.packed import Installed, skill_of
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes.cache import made, record, sha256
from skillpm.routing.features import DEPTHS
from skillpm.routing.signature import WIDTH
from skillpm.spec.merging import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from benchmarks.continual.chains import Chains
    from benchmarks.continual.subject import Subject

RESULT = "result.json"
LOSSLESS, SMALL = "lossless", "small"
SMALL_ANSWERS = "small-answers"
"""Stored beside the packs: packs of the same name would otherwise replace each other."""
NOTHING: Mapping[str, Any] = {}


class Evaluation:
    """Evaluation of one subject and seed whose individual fine-tunes exist."""

    def __init__(self, cache: Path, subject: Subject, seed: int, chains: Chains) -> None:
        self.folder = cache / f"{subject.name}-packs-{seed}"
        self._subject, self._chains = subject, chains
        places = range(len(subject.tasks))
        tuned = [chains.folder(INDIVIDUAL, place) for place in places]
        self.ready = all(record(one) is not None for one in tuned)
        self._wanted: dict[str, Any] = {}
        self.routing: dict[str, Any] = {}
        if self.ready:
            self._wanted = {
                "models": [sha256(one / "model" / "model.safetensors") for one in tuned],
                "subject": subject.fingerprint(),
            }
            self.routing = {
                "examples": [sha256(subject.examples(task)) for task in subject.tasks],
                "background": sha256(subject.background()),
                "features": {"width": WIDTH, "depths": DEPTHS, "form": "stripped"},
            }

    def run(self) -> None:
        """Compute every missing part, except those that `run_more` computes."""
        self._project(LOSSLESS, None)
        self.part("routed", self._routed, self.routing)
        self.part("live", self._live)
        last = len(self._subject.tasks)
        for method in METHODS:
            self.part(f"end-{method}", functools.partial(self._merged, method, last))
        self.part("seconds", self._seconds, self.routing)

    def run_more(self, *, small: bool) -> None:
        """Compute the intermediate stages of merges and the small packs, which take longest."""
        for method in METHODS:
            self.part(f"stages-{method}", functools.partial(self._stages, method))
        if small:
            self._project(SMALL, packed.SMALL)
            self.part(SMALL_ANSWERS, self._small)

    def result(self, name: str) -> Any:
        """A stored part, or None if it is missing."""
        path = self.folder / name / RESULT
        return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None

    def seconds(self, way: str) -> float | None:
        """Median seconds per query, where they were measured."""
        found = self.result("seconds")
        return None if found is None else float(found[way])

    def bytes_of(self, kind: str) -> int:
        """The bytes of all pack files."""
        return packed.pack_bytes(self.folder / kind)

    def _project(self, kind: str, budget: str | None) -> None:
        own = {"budget": budget} if budget else {"budget": None, **self.routing}
        wanted = {**self._wanted, **own}
        place = self.folder / kind
        packed.project(place, self._subject, self._chains, wanted=wanted, budget=budget)

    def part(self, name: str, work: Callable[[], Any], more: Mapping[str, Any] = NOTHING) -> None:
        """Compute a part that is missing or was computed from other inputs."""

        def write(folder: Path) -> None:
            (folder / RESULT).write_text(json.dumps(work()), encoding="utf-8")

        made(self.folder / name, {**self._wanted, "part": name, **more}, write)

    def _open(self, kind: str) -> Installed:
        return Installed(self.folder / kind, self._subject)

    def _live(self) -> dict[str, float]:
        """The largest difference of a live skill's answers from its fine-tune's, by skill, in nats.

        Also the difference of the base's answers before and after all switching: the other rows
        treat the base's answers as equal.
        """
        subject, found = self._subject, {}
        with self._open(LOSSLESS) as installed:
            model = installed.live()
            for place, task in enumerate(subject.tasks):
                with model.use_skill(skill_of(task)):
                    now = subject.answers(model, task)
                found[skill_of(task)] = _apart(now, self._alone(place)[task])
            found["base"] = _apart(subject.answers(model, GENERAL), self._base()[GENERAL])
        return found

    def _small(self) -> dict[str, Any]:
        """Answers of each skill's small pack to every query."""
        subject = self._subject
        tasks = (*subject.tasks, GENERAL)
        with self._open(SMALL) as installed:
            model = installed.live()
            found: dict[str, Any] = {}
            for task in subject.tasks:
                with model.use_skill(skill_of(task)):
                    answers = {asked: subject.answers(model, asked) for asked in tasks}
                found[skill_of(task)] = {asked: asdict(one) for asked, one in answers.items()}
        return found

    def alone(self, *, small: bool) -> dict[str, dict[str, Answers]]:
        """Answers of each skill and the base to every query; `live` shows that packs agree."""
        if small:
            found = {skill: read(one) for skill, one in self.result(SMALL_ANSWERS).items()}
        else:
            found = {
                skill_of(task): self._alone(place) for place, task in enumerate(self._subject.tasks)
            }
        return {**found, "base": self._base()}

    def _alone(self, place: int) -> dict[str, Answers]:
        return answers_in(self._chains.folder(INDIVIDUAL, place))

    def _base(self) -> dict[str, Answers]:
        return answers_in(self._chains.base().folder)

    def _routed(self) -> list[dict[str, list[str | None]]]:
        tasks = (*self._subject.tasks, GENERAL)
        with self._open(LOSSLESS) as installed:
            return installed.routed({task: self._subject.queries(task) for task in tasks})

    def _merged(self, method: str, count: int) -> dict[str, Any]:
        """Answers after all packs; earlier stages only for tasks learnt so far, to save time."""
        tasks = self._subject.tasks
        asked = (*tasks, GENERAL) if count == len(tasks) else tasks[:count]
        with self._open(LOSSLESS) as installed:
            found = installed.merged(method, count, asked)
        return {task: asdict(one) for task, one in found.items()}

    def _stages(self, method: str) -> list[dict[str, Any]]:
        """Merges of two and more packs, except the last: a single pack is its own result."""
        return [self._merged(method, count) for count in range(2, len(self._subject.tasks))]

    def merged(self, method: str) -> list[dict[str, Answers]] | None:
        """All stages of a merge; a task that is not learnt yet has the base's answers.

        None if the last stage is missing; the last stage alone if only earlier ones are missing.
        """
        end, between = self.result(f"end-{method}"), self.result(f"stages-{method}")
        if end is None:
            return None
        if between is None:
            return [read(end)]
        first = self._subject.tasks[0]
        stages = [{first: self._alone(0)[first]}, *map(read, between)]
        return [*({**self._base(), **one} for one in stages), read(end)]

    def _seconds(self) -> dict[str, float]:
        with self._open(LOSSLESS) as installed:
            return installed.seconds(
                installed.live(), self._subject.queries(self._subject.tasks[0])
            )


def read(document: dict[str, Any]) -> dict[str, Answers]:
    """Stored answers by task."""
    return {task: Answers(**one) for task, one in document.items()}


def _apart(one: Answers, other: Answers) -> float:
    return max(abs(a - b) for a, b in zip(one.losses, other.losses, strict=True))


def chosen(answers: dict[str, dict[str, Answers]], task: str, skills: list[str | None]) -> Answers:
    """For each query the answer of the skill that it was routed to, or of the base."""
    given = [answers[skill or "base"][task] for skill in skills]
    return Answers(
        scores=[one.scores[place] for place, one in enumerate(given)],
        losses=[one.losses[place] for place, one in enumerate(given)],
    )
