"""The cache of `benchmarks.llm` with models of a few thousand weights."""

from pathlib import Path

import torch
from peer_worlds import make_task
from safetensors.torch import save_file
from tiny_models import VOCABULARY

from benchmarks.llm.commands import Walk
from benchmarks.llm.places import CALIBRATION, ROWS, model
from benchmarks.peers.task import Task

TUNE, TASK = "code", "code"
DOCUMENTS, TOKENS = 10, 16


def held_out() -> torch.Tensor:
    """Random tokens, of which a different number counts in each document."""
    generator = torch.Generator().manual_seed(5)
    tokens = torch.randint(VOCABULARY, (DOCUMENTS, TOKENS), generator=generator)
    counts = torch.arange(TOKENS)[None, :] < torch.arange(4, 4 + DOCUMENTS)[:, None]
    return torch.stack([tokens, counts.long()], dim=1)


def make_cache(folder: Path) -> Path:
    """A base, a fine-tune, held-out rows and calibration text."""
    task = make_task(folder / "made")
    cache = folder / "cache"
    data = cache / f"data-{TASK}"
    data.mkdir(parents=True)
    save_file({"train": held_out().int(), "held_out": held_out().int()}, data / ROWS)
    task.calibration.rename(data / CALIBRATION)
    for name, made in (("base", task.base), (TUNE, task.tuned)):
        model(cache, name).parent.mkdir()
        made.rename(model(cache, name))
    return cache


def make_walk(task: Task, folder: Path) -> Walk:
    folder.mkdir(parents=True, exist_ok=True)
    return Walk(folder, task.base, task.tuned, task.calibration)
