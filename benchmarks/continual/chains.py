"""The trainings of one seed: each method's chain of stages, with each stage's model and answers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from benchmarks.continual import methods
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes.cache import made, record, sha256

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.continual.subject import Subject
    from benchmarks.finetunes.cache import Made
    from examples.code_search.settings import Advance

ANSWERS = "answers.json"
ADAPTER = "adapter"
INDIVIDUAL, SEQUENTIAL, EWC, REPLAY, LORA = "individual", "sequential", "ewc", "replay", "lora"
CHAINS = (SEQUENTIAL, REPLAY, EWC, LORA)


class Chains:
    """All folders of one subject and seed, created on demand."""

    def __init__(
        self, cache: Path, subject: Subject, seed: int, *, progress: Callable[[str], Advance]
    ) -> None:
        self._cache, self._subject, self._seed = cache, subject, seed
        self._progress = progress
        self._asked = subject.fingerprint()

    def folder(self, method: str, place: int) -> Path:
        """Folder of the model that has just learnt task number `place`, counted from 0."""
        # The first task has no earlier tasks, so all methods share its stage.
        if place == 0 and method in {SEQUENTIAL, EWC, REPLAY}:
            method = INDIVIDUAL
        name = self._subject.name
        return self._cache / f"{name}-{self._seed}" / f"{method}-{place}"

    def base(self) -> Made:
        """The answers of the base."""
        subject = self._subject
        folder = self._cache / f"{subject.name}-base-answers"
        return made(folder, self._asked, lambda place: self._examine(subject.base, place))

    def learn(self, method: str, place: int) -> Made:
        """Train one stage on top of the previous one, and answer all held-out queries."""
        folder = self.folder(method, place)
        before = None
        if place and method != INDIVIDUAL:
            before = self.learn(method, place - 1).folder
        own = self._subject.stage.own(folder.name.rsplit("-", 1)[0])
        wanted = {**self._asked, **own, "stage": folder.name, "seed": self._seed}
        if before is not None:
            wanted["before"] = _identity(before)

        def work(unfinished: Path) -> None:
            self._work(unfinished, method, place, before)

        return made(folder, wanted, work)

    def learn_all(self) -> None:
        """Train all stages of this seed: the individual fine-tunes, then the chains."""
        self.base()
        places = range(len(self._subject.tasks))
        for method in (INDIVIDUAL, *CHAINS):
            for place in places:
                self.learn(method, place)

    def whole(self) -> bool:
        """Whether every stage of every method exists."""
        places = range(len(self._subject.tasks))
        methods = (INDIVIDUAL, *CHAINS)
        return all(record(self.folder(one, place)) for one in methods for place in places)

    def _work(self, folder: Path, method: str, place: int, before: Path | None) -> None:
        subject, task = self._subject, self._subject.tasks[place]
        stage = subject.stage
        advance = self._progress(f"{subject.name}-{self._seed} {method} {task}")
        batches = subject.batches(task, self._seed)
        if method == LORA:
            self._adapt(folder, batches, before, advance)
            return
        model = subject.load(before / "model" if before else subject.base)
        pull: Callable[[], None] = lambda: None  # noqa: E731 - the default of a variable
        if method == REPLAY and place:
            batches = subject.rehearsed(batches, subject.tasks[:place], self._seed)
        if method == EWC and before:
            pull = self._consolidated(before, place - 1).pull(model, stage.ewc.strength)
        model.train(mode=False)
        methods.train(subject, model, batches, stage, advance=advance, pull=pull)
        subject.save(model, folder / "model")
        self._examine(folder / "model", folder)

    def _adapt(
        self, folder: Path, batches: list[Any], before: Path | None, advance: Advance
    ) -> None:
        subject, lora = self._subject, self._subject.stage.lora
        model = subject.load(subject.base)
        if before:
            model = methods.adapted(model, before / ADAPTER)
        else:
            model = methods.adapter(model, lora, seed=self._seed)
        rated = methods.with_rate(subject.stage, lora.learning_rate)
        methods.train(subject, model, batches, rated, advance=advance)
        model.save_pretrained(folder / ADAPTER)
        _write(folder, self._answers(model.eval()))

    def _consolidated(self, before: Path, place: int) -> methods.Consolidated:
        """The quadratic penalties of all tasks up to number `place`, stored beside its model."""
        if (before / methods.FISHER).exists():
            return methods.Consolidated.load(before)
        subject = self._subject
        model = subject.load(before / "model")
        found = methods.consolidate(
            subject, model, subject.tasks[place], examples=subject.stage.ewc.examples
        )
        if place:
            found = found.plus(self._consolidated(self.folder(EWC, place - 1), place - 1))
        found.save(before)
        return found

    def _examine(self, model: Path, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, self._answers(self._subject.load(model)))

    def _answers(self, model: Any) -> dict[str, Answers]:
        tasks = (*self._subject.tasks, GENERAL)
        return {task: self._subject.answers(model, task) for task in tasks}


def answers(folder: Path) -> dict[str, Answers]:
    """The answers of a stage's model, by task."""
    document = json.loads((folder / ANSWERS).read_text(encoding="utf-8"))
    return {task: Answers(**found) for task, found in document.items()}


def _write(folder: Path, found: dict[str, Answers]) -> None:
    document = {task: asdict(one) for task, one in found.items()}
    (folder / ANSWERS).write_text(json.dumps(document), encoding="utf-8")


def _identity(folder: Path) -> str:
    """The digest of the previous stage's weights."""
    for name in ("model/model.safetensors", f"{ADAPTER}/adapter_model.safetensors"):
        if (folder / name).exists():
            return sha256(folder / name)
    message = f"`{folder}` holds no weights: {record(folder)}"
    raise FileNotFoundError(message)
