"""The causal LM's base, its three kinds of text, and a fine-tune on each."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from benchmarks.finetunes import causal, corpora, tokens
from benchmarks.finetunes.cache import made, sha256
from benchmarks.finetunes.settings import Recipe, tuning

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.finetunes.cache import Made
    from examples.code_search.settings import Advance

WEIGHTS = "model/model.safetensors"
TRAIN, HELD_OUT, CALIBRATION = "train.safetensors", "held_out.safetensors", "calibration.jsonl"
HELD_OUT_ROWS = 128


def base(cache: Path, *, advance: Advance) -> Made:
    """The model trained on the standard library, in CACHE/lm-base/model."""
    documents = tuple(corpora.standard_library())
    recipe = Recipe()
    wanted = {"data": corpora.digest(documents), "recipe": asdict(recipe)}

    def work(folder: Path) -> None:
        tokenizer = tokens.learn(documents, vocabulary=recipe.shape.vocabulary)
        rows = tokens.rows(tokenizer, documents, context=recipe.shape.context)
        end = tokenizer.convert_tokens_to_ids(tokens.END)
        model = causal.fresh(recipe.shape, seed=recipe.training.seed, end=end)
        causal.train(model, rows, recipe.training, scratch=folder, advance=advance)
        causal.save(model, folder / "model")
        tokenizer.save_pretrained(folder / "model")

    return made(cache / "lm-base", wanted, work)


def domain(cache: Path, kind: str) -> Made:
    """The three sides of one kind of text, in CACHE/domains/KIND: tokens, and calibration text."""
    split = corpora.split(kind)
    model = cache / "lm-base" / "model"
    context = Recipe().shape.context
    wanted = {
        "data": split.digest(),
        "tokenizer": sha256(model / "tokenizer.json"),
        "context": context,
        "held_out_rows": HELD_OUT_ROWS,
    }

    def work(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(model)
        for name, documents in ((TRAIN, split.train), (HELD_OUT, split.held_out)):
            rows = tokens.rows(tokenizer, documents, context=context)
            if name == HELD_OUT:
                rows = _spread(rows, HELD_OUT_ROWS)
            save_file({"rows": rows.to(torch.int32).contiguous()}, folder / name)
        write_lines(folder / CALIBRATION, [document.text for document in split.calibration])

    return made(cache / "domains" / kind, wanted, work)


def tune(cache: Path, kind: str, seed: int, *, advance: Advance) -> Made:
    """A full fine-tune of the base on one kind of text, in CACHE/lm-KIND-SEED/model."""
    start, data = cache / "lm-base", cache / "domains" / kind
    training = tuning(seed)
    wanted = {
        "base": sha256(start / WEIGHTS),
        "data": sha256(data / TRAIN),
        "training": asdict(training),
    }

    def work(folder: Path) -> None:
        model = causal.load(start / "model")
        causal.train(model, read_rows(data / TRAIN), training, scratch=folder, advance=advance)
        causal.save(model, folder / "model")
        AutoTokenizer.from_pretrained(start / "model").save_pretrained(folder / "model")

    return made(cache / f"lm-{kind}-{seed}", wanted, work)


def read_rows(path: Path) -> torch.Tensor:
    """Stored rows of tokens, [rows, context] of int64."""
    return load_file(path)["rows"].long()


def write_lines(path: Path, texts: list[str]) -> None:
    """Write texts as JSON lines, the format of `skillpm pack --calibration`."""
    lines: list[dict[str, Any]] = [{"text": text} for text in texts]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def _spread(rows: torch.Tensor, count: int) -> torch.Tensor:
    """Rows at equal distances, so that every file is represented."""
    return rows[torch.linspace(0, len(rows) - 1, min(count, len(rows))).long()]
