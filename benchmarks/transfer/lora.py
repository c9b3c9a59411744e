"""LoRA by SFT and by DPO on the rows of the transfer, by trl and peft."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from skillpm.transfer.training import Training  # before trl
from skillpm.transfer.training_rows import as_texts, end_tokens, without_ends

import torch  # isort: skip
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer, SFTConfig, SFTTrainer

from skillpm.checkpoint.model import open_checkpoint
from skillpm.transfer.rounding import round_to_base
from skillpm.transfer.selection import CUT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.transfer.experiment import Experiment

WEIGHTS = "adapter_model.safetensors"
_ALPHA = 2
"""Alpha, in ranks."""


@dataclass(frozen=True)
class Adapter:
    """A trained adapter: its folder and the steps of its training."""

    folder: Path
    steps: int


def train_by_sft(
    experiment: Experiment, rows: Sequence[Mapping[str, Any]], rank: int, folder: Path
) -> Adapter:
    """Train an adapter of all linear layers on SFT rows, which are learnt as `transfer` does."""
    recipe = experiment.recipe
    training = _training(experiment, recipe.sft_epochs, recipe.sft_rate)
    arguments = training.arguments(folder / "trainer", len(rows))
    config = LoraConfig(
        r=rank,
        lora_alpha=_ALPHA * rank,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
        base_model_name_or_path=experiment.base.name,
    )

    def trainer() -> Any:
        tokenizer = AutoTokenizer.from_pretrained(experiment.base)
        loaded = _loaded(experiment.base)
        ends = end_tokens(loaded, tokenizer)
        made = SFTTrainer(
            model=loaded,
            args=SFTConfig(**arguments, completion_only_loss=True, packing=False),
            train_dataset=Dataset.from_list(as_texts(tokenizer, rows)),
            processing_class=tokenizer,
            peft_config=config,
        )
        cut = {place for place, row in enumerate(rows) if row.get(CUT)}
        made.train_dataset = without_ends(made.train_dataset, cut, ends)
        return made

    return _trained(trainer, folder)


def train_by_dpo(
    experiment: Experiment, rows: Sequence[Mapping[str, Any]], start: Path, folder: Path
) -> Adapter:
    """Train a copy of the adapter `start` on pairs; the reference is `start` itself."""
    recipe = experiment.recipe
    training = _training(experiment, recipe.dpo_epochs, recipe.dpo_rate, recipe.beta)
    arguments = training.arguments(folder / "trainer", len(rows))

    def trainer() -> Any:
        return DPOTrainer(
            model=PeftModel.from_pretrained(_loaded(experiment.base), start, is_trainable=True),
            args=DPOConfig(
                **arguments,
                beta=training.beta,
                loss_type=["sigmoid_norm"],
                precompute_ref_log_probs=True,
            ),
            train_dataset=Dataset.from_list([dict(row) for row in rows]),
            processing_class=AutoTokenizer.from_pretrained(experiment.base),
        )

    return _trained(trainer, folder)


def merge(experiment: Experiment, adapter: Path, folder: Path) -> Path:
    """The base with an adapter, merged in float32 and rounded once to the base's dtypes."""
    merged = folder / "merged"
    shutil.rmtree(merged, ignore_errors=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `_trained`
        model: Any = PeftModel.from_pretrained(_loaded(experiment.base), adapter)
        model.merge_and_unload().save_pretrained(merged)
    round_to_base(open_checkpoint(experiment.base), merged, folder / "model")
    shutil.rmtree(merged)
    return folder / "model"


def _training(experiment: Experiment, epochs: int, rate: float, beta: float = 0.0) -> Training:
    recipe = experiment.recipe
    return Training(
        epochs=epochs,
        learning_rate=recipe.lora_factor * rate,
        beta=beta,
        batch=recipe.batch,
        micro=recipe.batch,
        max_length=256,
        seed=experiment.seed,
    )


def _loaded(base: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, use_safetensors=True)


def _trained(make: Callable[[], Any], folder: Path) -> Adapter:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecations of transformers that trl has not followed
        trainer = make()
        trainer.train()
        trainer.model.save_pretrained(folder / "adapter", selected_adapters=["default"])
    shutil.rmtree(folder / "trainer", ignore_errors=True)
    return Adapter(folder / "adapter", int(trainer.state.global_step))
