"""Checkpoints of a trainer in safetensors and JSON, from which a killed training continues exactly.

The checkpoints of transformers' `Trainer` hold pickles, which law 5 forbids. `SafeCheckpoints` is a
mixin for trainers (of transformers and trl) that stores the same state without them:

- `model.safetensors`, by the trainer itself;
- `state.safetensors`: the tensors of the optimizer, and the state of torch's random numbers;
- `state.json`: everything else of optimizer, schedule and random numbers;
- `trainer_state.json`, by the trainer itself;
- `complete.json`, written last: without it, a checkpoint is unfinished and is ignored.
"""

import json
import random
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from skillpm.errors import IntegrityError, StateError
from skillpm.journal.atomic import sync_tree, write_atomic

TENSORS, VALUES, COMPLETE = "state.safetensors", "state.json", "complete.json"
_PREFIX = "checkpoint-"
_ALLOCATION = "can't allocate memory"
"""A part of the text of torch's error for exhausted memory of the machine."""
_OS_ERROR = "(os error "
"""A part of the text of errors of the operating system that a library in Rust raises."""


class SafeCheckpoints:
    """A mixin that replaces the pickles in a trainer's checkpoints; name it before the trainer.

    Distributed training and mixed precision with a gradient scaler are not supported.
    """

    model: Any
    optimizer: Any
    lr_scheduler: Any
    processing_class: Any
    args: Any
    state: Any

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write the model as safetensors, and no `training_args.bin`."""
        folder = Path(output_dir or self.args.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        self.model.save_pretrained(folder, state_dict=state_dict)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        tensors, plain = _split(self.optimizer.state_dict())
        numbers: Any = np.random.get_state(legacy=True)  # noqa: NPY002 - the one that trainers use
        tensors["rng.torch"] = torch.get_rng_state()
        if torch.cuda.is_available():
            tensors["rng.cuda"] = torch.cuda.get_rng_state()
        version, words, gauss = random.getstate()
        values = {
            "optimizer": plain,
            "schedule": self.lr_scheduler.state_dict(),
            "python": [version, list(words), gauss],
            "numpy": [numbers[0], numbers[1].tolist(), *map(float, numbers[2:])],
        }
        save_file(tensors, Path(output_dir) / TENSORS)
        (Path(output_dir) / VALUES).write_text(json.dumps(values))

    def _save_rng_state(self, output_dir: str) -> None:
        """Do nothing: the state is in the files of the optimizer."""

    def _save_scaler(self, output_dir: str) -> None:
        """Do nothing: there is no gradient scaler."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        values = json.loads((Path(checkpoint) / VALUES).read_text())
        tensors = load_file(Path(checkpoint) / TENSORS)
        self.optimizer.load_state_dict(_joined(values["optimizer"], tensors))
        self.lr_scheduler.load_state_dict(values["schedule"])

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if checkpoint is None:
            return
        values = json.loads((Path(checkpoint) / VALUES).read_text())
        tensors = load_file(Path(checkpoint) / TENSORS)
        version, words, gauss = values["python"]
        random.setstate((version, tuple(words), gauss))
        name, keys, position, has_gauss, cached = values["numpy"]
        state = (name, np.array(keys, dtype=np.uint32), int(position), int(has_gauss), cached)
        np.random.set_state(state)  # noqa: NPY002 - the one that trainers use
        torch.set_rng_state(tensors["rng.torch"])
        if "rng.cuda" in tensors and torch.cuda.is_available():
            torch.cuda.set_rng_state(tensors["rng.cuda"])

    def _load_scaler(self, checkpoint: str | None) -> None:
        """Do nothing: there is no gradient scaler."""

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write a checkpoint, sync its files, and mark it as complete."""
        super()._save_checkpoint(model, trial)  # type: ignore[misc]
        folder = Path(self.args.output_dir) / f"{_PREFIX}{self.state.global_step}"
        sync_tree(folder)
        write_atomic(folder / COMPLETE, json.dumps({"step": self.state.global_step}).encode())


@contextmanager
def weight_errors(folder: Path) -> Iterator[None]:
    """Translate errors of writing, such as of a full disk, to a `StateError`.

    safetensors has a class for them; tokenizers raises `Exception` with the number of the error.
    """
    try:
        yield
    except Exception as problem:
        if not isinstance(problem, SafetensorError) and _OS_ERROR not in str(problem):
            raise
        raise StateError(
            f"the weights in `{folder}` cannot be written or read: {problem}",
            hint="free disk space, or set SKILLPM_HOME to a folder on another disk",
        ) from problem


@contextmanager
def memory_errors() -> Iterator[None]:
    """Translate the errors of torch for exhausted memory to a `StateError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as problem:
        is_memory = isinstance(problem, torch.OutOfMemoryError | MemoryError)
        if not is_memory and _ALLOCATION not in str(problem):
            raise
        raise StateError(
            "the training needs more memory than the device has",
            hint="use a smaller `micro` or `max_tokens` under [train]; the command continues where "
            "it was if neither changes",
        ) from problem


def last_complete(folder: Path) -> Path | None:
    """The checkpoint with the highest step that was written to its end; None if there is none."""
    marked = [path for path in folder.glob(f"{_PREFIX}*") if (path / COMPLETE).is_file()]
    return max(marked, key=_step, default=None)


def remove_unfinished(folder: Path) -> None:
    """Remove checkpoints that a killed training left unfinished.

    The trainer keeps the latest two, and would count them.
    """
    for path in folder.glob(f"{_PREFIX}*"):
        if not (path / COMPLETE).is_file():
            shutil.rmtree(path)


def _step(folder: Path) -> int:
    number = folder.name.removeprefix(_PREFIX)
    if not number.isdecimal():
        raise IntegrityError(f"`{folder}` is not a checkpoint of a training")
    return int(number)


def _split(state: Mapping[str, Any]) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors of an optimizer's state by `PARAMETER.NAME`, and the rest as plain JSON."""
    tensors: dict[str, torch.Tensor] = {}
    rest: dict[str, dict[str, Any]] = {}
    for number, values in state["state"].items():
        rest[str(number)] = {}
        for name, value in values.items():
            if isinstance(value, torch.Tensor):
                tensors[f"{number}.{name}"] = value.contiguous()
            else:
                rest[str(number)][name] = value
    return tensors, {"state": rest, "param_groups": state["param_groups"]}


def _joined(plain: dict[str, Any], tensors: Mapping[str, torch.Tensor]) -> dict[str, Any]:
    """The inverse of `_split`."""
    state = {int(number): dict(values) for number, values in plain["state"].items()}
    for key, tensor in tensors.items():
        number, _, name = key.partition(".")
        if number.isdecimal():
            state[int(number)][name] = tensor
    return {"state": state, "param_groups": plain["param_groups"]}
