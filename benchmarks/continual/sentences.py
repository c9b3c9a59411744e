"""The real encoder and three tasks in a row: search by docstring, package, search by signature."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from benchmarks.continual.examinations import (
    BACKGROUND,
    EXAMINATION,
    EXAMPLE_TEXTS,
    PAIRS,
    TASKS,
    Examination,
    background,
)
from benchmarks.continual.settings import Sentences, plain
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes import contrast
from benchmarks.finetunes.cache import sha256
from benchmarks.finetunes.language import write_lines
from benchmarks.finetunes.settings import Contrast
from examples.code_search.data import Function
from examples.code_search.encoder import Encoder, embed, load, packaged_model, save
from examples.code_search.settings import Settings
from examples.code_search.train import _batches as pair_batches
from examples.code_search.train import _loss as pair_loss

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class SentencesSubject:
    """Three tasks in sequence; a query's score is its reciprocal rank, or 1 for the right label."""

    name = "encoder"
    tasks: tuple[str, ...] = TASKS

    def __init__(self, cache: Path) -> None:
        self._settings = Sentences()
        self._folder = cache / "tasks"
        self.stage = self._settings.stage
        self.base = packaged_model()
        self._tokenizer = load(self.base).tokenizer
        self._examined: dict[str, Examination] = {}
        self._functions: dict[str, list[Function]] = {}
        for task in (*TASKS, GENERAL):
            found = json.loads((self._folder / task / EXAMINATION).read_text(encoding="utf-8"))
            self._examined[task] = Examination(**found)
            pairs = json.loads((self._folder / task / PAIRS).read_text(encoding="utf-8"))
            self._functions[task] = [Function(**one) for one in pairs]

    def fingerprint(self) -> dict[str, Any]:
        """The base's weights, all texts, the settings."""
        files = {
            f"{task}/{name}": sha256(self._folder / task / name)
            for task in (*TASKS, GENERAL)
            for name in (PAIRS, EXAMINATION)
        }
        base = sha256(self.base / "model.safetensors")
        return {"base": base, "data": files, "settings": plain(self._settings)}

    def load(self, folder: Path) -> Any:
        """Load a model directory in float32, without dropout."""
        return load(folder).model

    def save(self, model: Any, folder: Path) -> None:
        """Write the model in float32, with the base's tokenizer."""
        save(self._encoder(model), folder, tokenizer_of=self.base)

    def batches(self, task: str, seed: int) -> list[tuple[str, Any]]:
        """Batches of pairs, or of classes with several texts each, one batch per step."""
        asked, functions = self._settings, self._functions[task]
        if task == "package":
            drawn = contrast.batches(functions, self._contrast(seed))
            return [(task, one) for one in drawn]
        found = list(pair_batches(functions, settings=self._searching(seed)))
        repeats = -(-asked.stage.steps // len(found))
        return [(task, one) for one in (found * repeats)[: asked.stage.steps]]

    def rehearsed(
        self, batches: list[tuple[str, Any]], earlier: Sequence[str], seed: int
    ) -> list[tuple[str, Any]]:
        """A batch of an earlier task, in turn, follows every tenth step."""
        every = round(1 / self.stage.replay)
        mixed = []
        old = {task: self.batches(task, seed) for task in earlier}
        for step, batch in enumerate(batches, start=1):
            mixed.append(batch)
            if step % every == 0:
                turn = step // every - 1
                task = earlier[turn % len(earlier)]
                mixed.append(old[task][turn % len(old[task])])
        return mixed

    def loss(self, model: Any, batch: tuple[str, Any]) -> torch.Tensor:
        """Supervised contrast for the package task, symmetric in-batch cross-entropy otherwise."""
        task, asked = batch[0], self._settings
        encoder = self._encoder(model)
        if task == "package":
            drawn, labels = batch[1]
            vectors = embed(encoder, drawn, tokens=asked.answer_tokens)
            return contrast.loss_of(vectors, labels, temperature=asked.class_temperature)
        return pair_loss(encoder, batch[1], settings=self._searching(0))

    def likelihoods(self, model: Any, task: str, count: int) -> Iterator[torch.Tensor]:
        """Losses of whole batches, a quarter as many as examples: a pair alone has no negatives."""
        batches = self.batches(task, seed=0)
        return (self.loss(model, one) for one in batches[: max(1, count // 4)])

    def answers(self, model: Any, task: str) -> Answers:
        """The reciprocal rank of each query's own label, or whether it comes first."""
        asked, found, encoder = self._settings, self._examined[task], self._encoder(model)
        tokens = asked.answer_tokens if task == "package" else asked.query_tokens
        with torch.inference_mode():
            queries = embed(encoder, found.queries, tokens=tokens)
            supports = embed(encoder, found.supports, tokens=asked.answer_tokens)
        labels, of = torch.tensor(found.labels), torch.tensor(found.support_labels)
        sums = torch.zeros(int(of.max()) + 1, supports.shape[1]).index_add(0, of, supports)
        cosines = queries @ torch.nn.functional.normalize(sums, dim=-1).T
        heat = asked.class_temperature if task == "package" else asked.pair_temperature
        losses = torch.nn.functional.cross_entropy(cosines / heat, labels, reduction="none")
        own = cosines.gather(1, labels[:, None])
        ranks = (cosines >= own).sum(dim=1).double()
        scores = (ranks == 1).double() if task == "package" else 1.0 / ranks
        return Answers(scores=scores.tolist(), losses=losses.tolist())

    def examples(self, task: str) -> Path:
        """Queries of the training half that were held back from training."""
        return self._folder / task / EXAMPLE_TEXTS

    def background(self) -> Path:
        """English texts that are not queries of a task: an encoder cannot generate texts."""
        path = self._folder / BACKGROUND
        if not path.exists():
            write_lines(path, background())
        return path

    def queries(self, task: str) -> list[str]:
        """The texts of the queries."""
        return self._examined[task].queries

    def run(self, model: Any, text: str) -> None:
        """Embed one text."""
        embed(self._encoder(model), [text], tokens=self._settings.answer_tokens)

    def _encoder(self, model: Any) -> Encoder:
        return Encoder(model=model, tokenizer=self._tokenizer)

    def _searching(self, seed: int) -> Settings:
        asked = self._settings
        return Settings(
            seed=seed,
            batch=asked.pairs,
            group=asked.group,
            temperature=asked.pair_temperature,
            docstring_tokens=asked.query_tokens,
            body_tokens=asked.answer_tokens,
        )

    def _contrast(self, seed: int) -> Contrast:
        asked = self._settings
        return Contrast(steps=asked.stage.steps, classes=asked.classes, each=asked.each, seed=seed)
