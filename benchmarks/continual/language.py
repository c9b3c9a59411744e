"""The causal LM of about 5M parameters, and five kinds of text for it to learn."""

from __future__ import annotations

import importlib.metadata
import json
import platform
import random
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from benchmarks.continual import texts
from benchmarks.continual.settings import (
    BACKGROUND_TEXTS,
    EXAMPLE_ROWS,
    SEEN,
    Language,
    plain,
    recipe,
)
from benchmarks.continual.subject import GENERAL, Answers
from benchmarks.finetunes import causal, corpora, tokens
from benchmarks.finetunes.cache import made, sha256
from benchmarks.finetunes.language import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from benchmarks.finetunes.cache import Made
    from examples.code_search.settings import Advance

BASE = "lm-base"
EXAMPLE_TEXTS = "examples.jsonl"
QUERIES = "queries.json"
BACKGROUND = "background"
READ = ("numpy", "sqlalchemy", "alembic", "pydantic", "torch", "click", "rich", "jinja2")
FORM = 2


def base(cache: Path, *, advance: Advance) -> Made:
    """The model trained on the standard library, in CACHE/lm-base/model."""
    asked = recipe()
    wanted = {"python": platform.python_version(), "recipe": asdict(asked)}

    def work(folder: Path) -> None:
        documents = tuple(corpora.standard_library())
        tokenizer = tokens.learn(documents, vocabulary=asked.shape.vocabulary)
        rows = tokens.rows(tokenizer, documents, context=asked.shape.context)
        end = tokenizer.convert_tokens_to_ids(tokens.END)
        model = causal.fresh(asked.shape, seed=asked.training.seed, end=end)
        causal.train(model, rows, asked.training, scratch=folder, advance=advance)
        causal.save(model, folder / "model")
        tokenizer.save_pretrained(folder / "model")

    return made(cache / BASE, wanted, work)


def domain(cache: Path, kind: str) -> Made:
    """The sides of one kind of text, in CACHE/domains/KIND: rows, and texts for the router.

    The record holds the versions of the sources, because reading them again takes a minute.
    """
    model = cache / BASE / "model"
    settings = Language()
    wanted = {
        "python": platform.python_version(),
        "packages": {name: importlib.metadata.version(name) for name in READ},
        "tokenizer": sha256(model / "tokenizer.json"),
        "context": settings.context,
        "held_out": settings.held_out,
        "form": FORM,
    }

    def work(folder: Path) -> None:
        split = texts.split(kind)
        tokenizer = AutoTokenizer.from_pretrained(model)
        rows = {
            side: tokens.rows(tokenizer, documents, context=settings.context)
            for side, documents in (("train", split.train), ("held_out", split.held_out))
        }
        shown = BACKGROUND_TEXTS if kind == BACKGROUND else EXAMPLE_ROWS
        rows["examples"] = spread(rows["train"], shown)
        rows["held_out"] = spread(rows["held_out"], settings.held_out)
        save_file({side: one.to(torch.int32) for side, one in rows.items()}, folder / "rows")
        seen = {side: tokenizer.batch_decode(one[:, :SEEN]) for side, one in rows.items()}
        write_lines(folder / EXAMPLE_TEXTS, seen["examples"])
        (folder / QUERIES).write_text(json.dumps(seen["held_out"]), encoding="utf-8")

    return made(cache / "domains" / kind, wanted, work)


class LanguageSubject:
    """Five domains in sequence; a query's score is the negative mean token loss in nats."""

    name = "lm"
    tasks: tuple[str, ...] = tuple(texts.KINDS)

    def __init__(self, cache: Path) -> None:
        self._settings = Language()
        self._cache = cache
        self.stage = self._settings.stage
        self.base = cache / BASE / "model"
        kinds = (*self.tasks, GENERAL)
        self._tokenizer = AutoTokenizer.from_pretrained(self.base)
        self._rows = {kind: load_file(cache / "domains" / kind / "rows") for kind in kinds}

    def fingerprint(self) -> dict[str, Any]:
        """The base's weights, the rows of all domains, the settings."""
        return {
            "base": sha256(self.base / "model.safetensors"),
            "data": {kind: sha256(self._cache / "domains" / kind / "rows") for kind in self._rows},
            "settings": plain(self._settings),
        }

    def load(self, folder: Path) -> Any:
        """Load a model directory in float32."""
        return causal.load(folder)

    def save(self, model: Any, folder: Path) -> None:
        """Write the model in bf16, with the base's tokenizer."""
        causal.save(model, folder)
        AutoTokenizer.from_pretrained(self.base).save_pretrained(folder)

    def batches(self, task: str, seed: int) -> list[torch.Tensor]:
        """Rows of the domain, shuffled by the seed, [rows, context] per step."""
        rows = self._rows[task]["train"].long()
        count = self.stage.steps * self._settings.rows
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        # A domain that has fewer rows is repeated.
        order = order.repeat(-(-count // len(rows)))[:count]
        return list(rows[order].split(self._settings.rows))

    def rehearsed(
        self, batches: list[torch.Tensor], earlier: Sequence[str], seed: int
    ) -> list[torch.Tensor]:
        """Add a tenth of rows from earlier tasks' training data to each batch."""
        draw = random.Random(seed)
        old = [row for task in earlier for batch in self.batches(task, seed) for row in batch]
        more = self.stage.replay * self._settings.rows
        mixed = []
        for step, batch in enumerate(batches):
            count = round(more * (step + 1)) - round(more * step)
            mixed.append(torch.cat([batch, *(row[None] for row in draw.sample(old, count))]))
        return mixed

    def loss(self, model: Any, batch: torch.Tensor) -> torch.Tensor:
        """The mean token loss."""
        return causal.losses(model, batch).mean()

    def likelihoods(self, model: Any, task: str, count: int) -> Iterator[torch.Tensor]:
        """Losses of training rows at equal distances."""
        rows = spread(self._rows[task]["train"].long(), count)
        return (self.loss(model, row[None]) for row in rows)

    def answers(self, model: Any, task: str) -> Answers:
        """The mean token loss of each held-out row."""
        with torch.inference_mode():
            parts = self._rows[task]["held_out"].long().split(16)
            found = torch.cat([causal.losses(model, part).mean(dim=1) for part in parts])
        return Answers(scores=(-found).tolist(), losses=found.tolist())

    def examples(self, task: str) -> Path:
        """The first half of training rows, one per file where possible."""
        return self._cache / "domains" / task / EXAMPLE_TEXTS

    def background(self) -> Path:
        """Rows of the standard library, which the base learnt."""
        return self._cache / "domains" / BACKGROUND / EXAMPLE_TEXTS

    def queries(self, task: str) -> list[str]:
        """The first half of each held-out row."""
        path = self._cache / "domains" / task / QUERIES
        found: list[str] = json.loads(path.read_text(encoding="utf-8"))
        return found

    def run(self, model: Any, text: str) -> None:
        """Run one forward pass over the text's tokens."""
        model(**self._tokenizer(text, return_tensors="pt"))


def spread(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Up to `count` rows at equal distances, so that every file is represented."""
    return rows[torch.linspace(0, len(rows) - 1, min(count, len(rows))).long()].contiguous()
