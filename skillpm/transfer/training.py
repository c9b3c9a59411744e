"""Fine-tunes the target on answers (SFT) and on pairs of answers (DPO), with trl.

This is the only module that imports trl. Training continues a killed run exactly: see
`safe_checkpoints`. Weights are float32 throughout; `rounding` rounds them once at the end.
"""

import io
import json
import math
import os
import shutil
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"  # trl reports its use when a trainer is made

import torch
from datasets import Dataset, disable_progress_bars
from transformers import AutoModelForCausalLM, AutoTokenizer, PrinterCallback
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from skillpm.journal.atomic import publish_folder, write_atomic
from skillpm.running.chat import template_errors
from skillpm.transfer.safe_checkpoints import (
    SafeCheckpoints,
    last_complete,
    memory_errors,
    remove_unfinished,
    weight_errors,
)
from skillpm.transfer.selection import CUT
from skillpm.transfer.training_progress import TrainingProgress
from skillpm.transfer.training_rows import (
    as_texts,
    check_end_is_learnt,
    end_tokens,
    private_texts,
    without_ends,
)

disable_progress_bars()
WARM_UP = 0.1
"""The share of the steps in which the learning rate rises; then it falls as a cosine."""
_DONE, _RESULT = "model", "result.json"
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Training:
    """The settings of one training: `batch` rows a step, of which `micro` run at once.

    `most_steps` ends a training early; -1 does not.
    """

    epochs: float
    learning_rate: float
    beta: float = 0.0
    batch: int = 16
    micro: int = 4
    max_length: int = 1024
    seed: int = 0
    device: str = "cpu"
    most_steps: int = -1

    def steps(self, rows: int) -> int:
        """The number of steps of a training on this number of rows."""
        batch = min(self.batch, rows)
        micro = min(self.micro, batch)
        per_epoch = math.ceil(math.ceil(rows / micro) / math.ceil(batch / micro))
        steps = max(1, math.ceil(self.epochs * per_epoch))
        return steps if self.most_steps < 0 else min(steps, self.most_steps)

    def arguments(self, folder: Path, rows: int) -> dict[str, Any]:
        """The arguments that the configs of both trainers take."""
        batch = min(self.batch, rows)
        micro = min(self.micro, batch)
        return {
            "output_dir": str(folder),
            "num_train_epochs": self.epochs,
            "max_steps": self.most_steps,
            "learning_rate": self.learning_rate,
            "per_device_train_batch_size": micro,
            "gradient_accumulation_steps": -(-batch // micro),
            "lr_scheduler_type": "cosine",
            "warmup_steps": WARM_UP,
            "weight_decay": 0.0,
            "max_length": self.max_length,
            "save_strategy": "no",  # `TrainingProgress` decides
            "save_total_limit": 2,
            "use_cpu": self.device == "cpu",
            "bf16": False,
            "fp16": False,
            "gradient_checkpointing": False,
            "seed": self.seed,
            "data_seed": self.seed,
            "report_to": "none",
            "disable_tqdm": True,
            "logging_strategy": "no",
            "push_to_hub": False,
        }


@dataclass(frozen=True)
class Trained:
    """The folder of a trained model in float32; the steps, FLOPs and seconds of its training.

    `seconds` are those of the last command, if several took part; `step_seconds` is their mean.
    """

    folder: Path
    steps: int
    flops: float
    seconds: float
    step_seconds: float


class _Quiet:
    """A mixin: a training reports nothing, and writes no model card beside its checkpoints."""

    def _send_telemetry(self) -> None:
        """Do nothing."""

    def create_model_card(self, *_arguments: Any, **_settings: Any) -> None:
        """Do nothing: trl's card names the user's paths."""


class _Supervised(_Quiet, SafeCheckpoints, SFTTrainer):  # type: ignore[misc]
    """SFT with safe checkpoints."""


class _Preferences(_Quiet, SafeCheckpoints, DPOTrainer):  # type: ignore[misc]
    """DPO with safe checkpoints."""

    def _precompute_ref_logps(self, *arguments: Any, **settings: Any) -> Any:
        """Compute the reference's log-likelihoods without trl's own progress bar."""
        with redirect_stderr(io.StringIO()):
            return super()._precompute_ref_logps(*arguments, **settings)


def train_on_answers(
    model: Path,
    rows: Sequence[Mapping[str, Any]],
    training: Training,
    folder: Path,
    advance: Advance,
) -> Trained:
    """Fine-tune a model folder on `{"prompt", "completion"}` rows; return the result.

    Prompt and completion are lists of messages; only the completion is learnt, and its end unless
    the row has `CUT`. The result is float32, in `folder`, and is returned at once if it is there
    already. Raises `GraftError` if the end of an answer would not be learnt.
    """

    def trainer(tokenizer: Any, loaded: Any) -> Any:
        config = SFTConfig(
            **training.arguments(folder, len(rows)), completion_only_loss=True, packing=False
        )
        made = _Supervised(
            model=loaded,
            args=config,
            train_dataset=Dataset.from_list(as_texts(tokenizer, rows)),
            processing_class=tokenizer,
        )
        ends = end_tokens(loaded, tokenizer)
        check_end_is_learnt(made, ends)
        cut = {place for place, row in enumerate(rows) if row.get(CUT)}
        made.train_dataset = without_ends(made.train_dataset, cut, ends)
        return made

    return _trained(model, folder, trainer, private_texts(rows), advance)


def train_on_pairs(
    model: Path,
    rows: Sequence[Mapping[str, Any]],
    training: Training,
    folder: Path,
    advance: Advance,
) -> Trained:
    """Tune a model folder on `{"prompt", "chosen", "rejected"}` rows; return the result.

    The loss is DPO's with log-likelihoods divided by the length of the answer (Meng et al. 2024,
    arXiv 2405.14734, section 2; `sigmoid_norm` of trl), as in FuseChat-3.0.
    """

    def trainer(tokenizer: Any, loaded: Any) -> Any:
        config = DPOConfig(
            **training.arguments(folder, len(rows)),
            beta=training.beta,
            loss_type=["sigmoid_norm"],
            precompute_ref_log_probs=True,
        )
        return _Preferences(
            model=loaded,
            args=config,
            train_dataset=Dataset.from_list(as_texts(tokenizer, rows)),
            processing_class=tokenizer,
        )

    return _trained(model, folder, trainer, private_texts(rows), advance)


def _trained(
    model: Path,
    folder: Path,
    make: Callable[[Any, Any], Any],
    texts: Iterable[str],
    advance: Advance,
) -> Trained:
    """Train with the trainer that `make` returns, from the last complete checkpoint.

    `texts` are the private texts, which no error shows.
    """
    done = folder / _DONE
    if done.is_dir():
        return Trained(done, **json.loads((folder / _RESULT).read_text()))
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = AutoTokenizer.from_pretrained(model, trust_remote_code=False)
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, trust_remote_code=False, use_safetensors=True
    )
    with warnings.catch_warnings(), weight_errors(folder):
        warnings.simplefilter("ignore")  # deprecations of transformers that trl has not followed
        with template_errors(texts):
            trainer = make(tokenizer, loaded)
        progress = TrainingProgress(
            advance, saves=trainer.args.max_steps < 0, parameters=trainer.model.num_parameters()
        )
        result = _run(trainer, folder, progress)
        fresh = folder / f"{_DONE}.part"
        shutil.rmtree(fresh, ignore_errors=True)
        trainer.model.save_pretrained(fresh)
        tokenizer.save_pretrained(fresh)
    write_atomic(folder / _RESULT, json.dumps(result).encode())
    publish_folder(fresh, done)
    for checkpoint in folder.glob("checkpoint-*"):
        shutil.rmtree(checkpoint)
    return Trained(done, **result)


def _run(trainer: Any, folder: Path, progress: TrainingProgress) -> dict[str, Any]:
    """Run a trainer, and return the steps, the FLOPs and the seconds."""
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(progress)
    remove_unfinished(folder)
    last = last_complete(folder)
    started = time.monotonic()
    with memory_errors():
        trainer.train(resume_from_checkpoint=str(last) if last else None)
    return {
        "steps": int(trainer.state.global_step),
        "flops": float(trainer.state.total_flos),
        "seconds": time.monotonic() - started,
        "step_seconds": progress.step_seconds,
    }
