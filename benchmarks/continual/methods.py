"""Methods of learning a further task: plain fine-tuning, replay, EWC, one LoRA adapter."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.continual.settings import Lora, Stage
    from benchmarks.continual.subject import Subject
    from examples.code_search.settings import Advance

FISHER = "fisher.safetensors"


def train(
    subject: Subject,
    model: Any,
    batches: list[Any],
    stage: Stage,
    *,
    advance: Advance,
    pull: Callable[[], None] = lambda: None,
) -> None:
    """Train one stage in float32, in place; `pull` adds to the gradients of each step."""
    weights = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(
        weights, lr=stage.learning_rate, betas=(0.9, stage.beta), weight_decay=0.0
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, stage.factor)
    for done, batch in enumerate(batches, start=1):
        loss = subject.loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        pull()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        advance(f"training, loss {float(loss.detach()):.3f}", done, len(batches))


class Consolidated:
    """The sum of all earlier tasks' quadratics: Σ F (θ − θ*)² has the gradient 2 (Σ F θ − Σ F θ*).

    Stores two tensors per weight for any number of tasks. The sum is exact.
    """

    def __init__(self, fisher: dict[str, torch.Tensor], around: dict[str, torch.Tensor]) -> None:
        self._fisher, self._around = fisher, around

    @classmethod
    def load(cls, folder: Path) -> Consolidated:
        """Load what `save` wrote."""
        found = load_file(folder / FISHER)
        fisher = {key[2:]: one for key, one in found.items() if key.startswith("f.")}
        return cls(fisher, {key: found[f"a.{key}"] for key in fisher})

    def save(self, folder: Path) -> None:
        """Save beside the stage's model."""
        parts = {f"f.{key}": one for key, one in self._fisher.items()}
        parts |= {f"a.{key}": one for key, one in self._around.items()}
        save_file({key: one.contiguous() for key, one in parts.items()}, folder / FISHER)

    def pull(self, model: Any, strength: float) -> Callable[[], None]:
        """Add strength / 2 · ∇ Σ F (θ − θ*)² to the gradients."""
        weights = dict(model.named_parameters())

        def add() -> None:
            with torch.no_grad():
                for key, fisher in self._fisher.items():
                    weight = weights[key]
                    if weight.grad is not None:
                        weight.grad += strength * (fisher * weight - self._around[key])

        return add

    def plus(self, other: Consolidated) -> Consolidated:
        """The sum of both tasks' quadratics."""
        return Consolidated(
            {key: one + other._fisher[key] for key, one in self._fisher.items()},
            {key: one + other._around[key] for key, one in self._around.items()},
        )


def consolidate(subject: Subject, model: Any, task: str, *, examples: int) -> Consolidated:
    """The diagonal of the empirical Fisher information: mean squared gradients of single examples.

    The gradients are of an example's mean loss, so the result is independent of its length.
    """
    weights = dict(model.named_parameters())
    fisher = {key: torch.zeros_like(one) for key, one in weights.items()}
    for loss in subject.likelihoods(model, task, examples):
        grads = torch.autograd.grad(loss, list(weights.values()), allow_unused=True)
        for key, grad in zip(weights, grads, strict=True):
            if grad is not None:
                fisher[key] += grad.square() / examples
    around = {key: one * weights[key].detach() for key, one in fisher.items()}
    return Consolidated(fisher, around)


def adapter(model: Any, lora: Lora, *, seed: int) -> Any:
    """The model with a new adapter on every linear weight except the head."""
    torch.manual_seed(seed)
    config = LoraConfig(
        r=lora.rank, lora_alpha=lora.alpha, lora_dropout=0.0, target_modules="all-linear"
    )
    return get_peft_model(model, config)


def adapted(model: Any, folder: Path) -> Any:
    """The model with the adapter saved in FOLDER, to be trained further."""
    return PeftModel.from_pretrained(model, folder, is_trainable=True)


def with_rate(stage: Stage, learning_rate: float) -> Stage:
    """The same stage with another learning rate: an adapter needs a larger one."""
    return replace(stage, learning_rate=learning_rate)
