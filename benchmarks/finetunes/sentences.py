"""The encoder's base, its two tasks, and a fine-tune on each."""

from __future__ import annotations

import functools
import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING

from benchmarks.finetunes import contrast, tasks
from benchmarks.finetunes.cache import made, sha256
from benchmarks.finetunes.language import CALIBRATION, WEIGHTS, write_lines
from benchmarks.finetunes.settings import Contrast
from examples.code_search import train as searching
from examples.code_search.encoder import load, packaged_model, save
from examples.code_search.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.finetunes.cache import Made
    from benchmarks.finetunes.tasks import Task
    from examples.code_search.settings import Advance

EXAMINATION = "examination.json"


def base(cache: Path) -> Made:
    """The unchanged packaged encoder, in CACHE/encoder-base/model."""
    source = packaged_model()

    def work(folder: Path) -> None:
        shutil.rmtree(folder / "model", ignore_errors=True)
        shutil.copytree(source, folder / "model")

    return made(cache / "encoder-base", {"weights": sha256(source / "model.safetensors")}, work)


@functools.cache
def task(name: str) -> Task:
    """Read a task's texts from the installed packages, once; takes some ten seconds."""
    if name == "search":
        return tasks.search()
    asked = Contrast()
    return tasks.package(tokens=asked.tokens, temperature=asked.temperature)


def prepare(cache: Path, name: str) -> Made:
    """Write a task's examination and calibration text to CACHE/tasks/NAME."""
    found = task(name)

    def work(folder: Path) -> None:
        found.examination.save(folder / EXAMINATION)
        write_lines(folder / CALIBRATION, list(found.calibration))

    return made(cache / "tasks" / name, {"data": found.digest()}, work)


def tune(cache: Path, name: str, seed: int, *, advance: Advance) -> Made:
    """A full fine-tune of the encoder on one task, in CACHE/encoder-NAME-SEED/model."""
    found, start = task(name), cache / "encoder-base"
    prepare(cache, name)
    settings = Settings(seed=seed) if name == "search" else Contrast(seed=seed)
    wanted = {
        "base": sha256(start / WEIGHTS),
        "data": found.digest(),
        "settings": asdict(settings),
    }

    def work(folder: Path) -> None:
        encoder = load(start / "model")
        if isinstance(settings, Settings):
            searching.train(encoder, found.train, settings=settings, advance=advance)
        else:
            contrast.train(encoder, found.train, settings, advance=advance)
        save(encoder, folder / "model", tokenizer_of=start / "model")

    return made(cache / f"encoder-{name}-{seed}", wanted, work)
