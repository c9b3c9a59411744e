"""The cache of `benchmarks.llm` with models of a few thousand weights."""

import json
from pathlib import Path
from typing import Any

import torch
from peer_worlds import make_task
from safetensors.torch import save_file
from tiny_models import VOCABULARY
from transformers import AutoTokenizer

from benchmarks.finetunes.cache import RECORD
from benchmarks.llm import texts, tunes
from benchmarks.llm.commands import Walk
from benchmarks.llm.places import CALIBRATION, ROWS, model
from benchmarks.llm.settings import CONTEXT, TUNINGS
from benchmarks.peers.task import Task
from examples.smollm2.convert import ROOT

TUNE = TASK = "sql"
DOCUMENTS, TOKENS = 10, 16
CHAT = (
    "{% for m in messages %}{{ m['role'] }} {{ m['content'] }} w0 {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)


def held_out() -> torch.Tensor:
    """Random tokens, of which a different number counts in each document."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(VOCABULARY, (DOCUMENTS, TOKENS), generator=generator)
    counts = torch.arange(TOKENS)[None, :] < torch.arange(4, 4 + DOCUMENTS)[:, None]
    return torch.stack([tokens, counts.long()], dim=1)


def make_cache(folder: Path) -> Path:
    """A base, a fine-tune, held-out rows and calibration text, recorded as made."""
    task = make_task(folder / "made")
    tokenizer = AutoTokenizer.from_pretrained(task.base)
    tokenizer.chat_template = CHAT
    tokenizer.save_pretrained(task.base)
    cache = folder / "cache"
    data = cache / f"data-{TASK}"
    data.mkdir(parents=True)
    save_file({"train": held_out().int(), "held_out": held_out().int()}, data / ROWS)
    task.calibration.rename(data / CALIBRATION)
    for name, made in (("base", task.base), (TUNE, task.tuned)):
        model(cache, name).parent.mkdir()
        made.rename(model(cache, name))
    record(cache / "base", {"root": ROOT})
    record(data, {"data": texts.sides(TASK).digest(), "context": CONTEXT})
    record(cache / TUNE, tunes.inputs(cache, TUNINGS[TUNE]))
    return cache


def record(folder: Path, inputs: dict[str, Any]) -> None:
    (folder / RECORD).write_text(json.dumps({"from": inputs, "seconds": 1.0}))


def make_walk(task: Task, folder: Path) -> Walk:
    folder.mkdir(parents=True, exist_ok=True)
    return Walk(folder, task.base, task.tuned, task.calibration)
