"""The base, full fine-tunes of it, and a LoRA, in the cache."""

from __future__ import annotations

import shutil
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from benchmarks.finetunes import causal
from benchmarks.finetunes.cache import made
from benchmarks.finetunes.language import write_lines
from benchmarks.llm import texts
from benchmarks.llm.places import CALIBRATION, MODEL, ROWS, WEIGHTS
from benchmarks.llm.settings import CONTEXT, LoraTuning, Tuning
from examples.smollm2.convert import ROOT, convert

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.finetunes.cache import Made
    from examples.code_search.settings import Advance

MODE = 0o644


def base(cache: Path) -> Made:
    """The converted model, in CACHE/base/model."""
    return made(cache / "base", {"root": ROOT}, lambda folder: _converted(folder / MODEL))


def _converted(out: Path) -> None:
    shutil.rmtree(out, ignore_errors=True)
    convert(out)


def data(cache: Path, task: str) -> Made:
    """The rows of a task, and its calibration text, in CACHE/data-TASK."""
    found = texts.sides(task)

    def work(folder: Path) -> None:
        tokenizer = AutoTokenizer.from_pretrained(base(cache).folder / MODEL)
        train = texts.training_rows(tokenizer, found.train, context=CONTEXT)
        held_out = texts.document_rows(tokenizer, found.held_out, context=CONTEXT)
        save_file({"train": train.int(), "held_out": held_out.int()}, folder / ROWS)
        lines = [texts.rendered(tokenizer, example) for example in found.calibration]
        write_lines(folder / CALIBRATION, lines)

    return made(cache / f"data-{task}", {"data": found.digest(), "context": CONTEXT}, work)


def rows(cache: Path, task: str, side: str) -> torch.Tensor:
    """Stored rows, [rows, 2, context] of int64: the side `train` or `held_out`."""
    return load_file(cache / f"data-{task}" / ROWS)[side].long()


def tune(cache: Path, tuning: Tuning, *, advance: Advance) -> Made:
    """A full fine-tune in float32, rounded once to bf16, in CACHE/NAME/model."""
    start = base(cache).folder / MODEL

    def work(folder: Path) -> None:
        model = causal.load(start)
        _train(model, cache, tuning, folder, advance)
        causal.save(model, folder / MODEL)
        _finish(start, folder / MODEL)

    return made(cache / tuning.name, inputs(cache, tuning), work)


def lora(cache: Path, tuning: LoraTuning, *, advance: Advance) -> Made:
    """A PEFT adapter of all linear layers in float32, in CACHE/NAME/model."""
    start = base(cache).folder / MODEL

    def work(folder: Path) -> None:
        torch.manual_seed(tuning.training.seed)  # PEFT draws A at random
        config = LoraConfig(
            r=tuning.rank,
            lora_alpha=2 * tuning.rank,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            base_model_name_or_path=start.name,
        )
        model = get_peft_model(causal.load(start), config)
        _train(model, cache, tuning, folder, advance)
        model.save_pretrained(str(folder / MODEL))

    return made(cache / tuning.name, inputs(cache, tuning), work)


def _train(
    model: Any, cache: Path, tuning: Tuning | LoraTuning, folder: Path, advance: Advance
) -> None:
    """Train a model on its task's rows, in float32."""
    data = rows(cache, tuning.task, "train")
    causal.train(model, data, tuning.training, scratch=folder, advance=advance, autocast=False)


def inputs(cache: Path, tuning: Tuning | LoraTuning) -> dict[str, object]:
    """What a fine-tune is made from; makes the task's data if they are missing."""
    made_from = texts.sides(tuning.task).digest()
    data(cache, tuning.task)
    return {"base": ROOT, "data": made_from, "context": CONTEXT, "settings": asdict(tuning)}


def _finish(start: Path, folder: Path) -> None:
    """Copy the base's small files: a tune changes the weights only."""
    for path in start.iterdir():
        if path.name != WEIGHTS:
            shutil.copyfile(path, folder / path.name)
    for path in folder.iterdir():  # transformers writes some files readable by the owner only
        path.chmod(MODE)
