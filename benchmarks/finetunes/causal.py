"""The causal LM: initialised, trained, saved in bf16, loaded in float32."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.finetunes.settings import Shape, Training
    from examples.code_search.settings import Advance

CHECKPOINT = "checkpoint.pt"
STEPS_BETWEEN_CHECKPOINTS = 10
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


def fresh(shape: Shape, *, seed: int, end: int) -> Any:
    """A Llama with random, untrained weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.key_value_heads,
        max_position_embeddings=shape.context,
        tie_word_embeddings=True,
        bos_token_id=end,
        eos_token_id=end,
        pad_token_id=end,
    )
    return LlamaForCausalLM(config)


def load(folder: Path) -> Any:
    """Load a model directory in float32 with transformers."""
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def save(model: Any, folder: Path) -> None:
    """Write the model in bf16, each weight rounded once, half to even."""
    model.to(torch.bfloat16).save_pretrained(folder)


def losses(model: Any, rows: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats of every token but the first, [rows, context - 1]."""
    logits = model(input_ids=rows).logits[:, :-1].float()  # [rows, context - 1, vocabulary]
    return torch.nn.functional.cross_entropy(logits.mT, rows[:, 1:], reduction="none")


def mean_loss(model: Any, batch: torch.Tensor) -> torch.Tensor:
    """The mean loss of a batch, [rows, context], or of the tokens of [rows, 2, context] that count.

    The first token of a row never counts, because no token predicts it.
    """
    if batch.ndim == 2:
        return losses(model, batch).mean()
    counts = batch[:, 1, 1:].bool()
    return losses(model, batch[:, 0])[counts].mean()


def train(
    model: Any,
    rows: torch.Tensor,
    training: Training,
    *,
    scratch: Path,
    advance: Advance,
    autocast: bool | None = None,
) -> None:
    """Tune every weight in place; an interrupted run continues from its last checkpoint.

    `rows` are tokens, [rows, context], or tokens and whether each counts, [rows, 2, context].
    With `autocast`, matrix products use bf16; by default they do where the processor supports it.
    Master weights and AdamW use float32.
    """
    mixed = has_bf16() if autocast is None else autocast
    optimizer = adamw(model, training)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, training.factor)
    parts = {"model": model, "optimizer": optimizer, "schedule": schedule}
    start = load_checkpoint(parts, scratch / CHECKPOINT)
    model.train()
    for step, batch in enumerate(batches(rows, training)):
        if step < start:
            continue
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            loss = mean_loss(model, batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        advance(f"training, loss {float(loss.detach()):.3f}", step + 1, training.steps)
        if (step + 1) % STEPS_BETWEEN_CHECKPOINTS == 0:
            save_checkpoint(parts, scratch / CHECKPOINT, done=step + 1)
    (scratch / CHECKPOINT).unlink(missing_ok=True)
    model.eval()


def has_bf16() -> bool:
    """Whether this processor multiplies bf16 natively; else autocast is 100 times slower.

    torch reports it only through private functions, which another release may lack.
    """
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, name, bool)() for name in checks)


def adamw(model: Any, training: Training) -> torch.optim.Optimizer:
    """AdamW with weight decay on matrices, but not on the scales of the norms."""
    groups: list[dict[str, Any]] = [
        {"params": [one for one in model.parameters() if one.ndim > 1]},
        {"params": [one for one in model.parameters() if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        groups,
        lr=training.learning_rate,
        betas=(0.9, training.beta),
        weight_decay=training.weight_decay,
        fused=True,
    )


def batches(rows: torch.Tensor, training: Training) -> Iterator[torch.Tensor]:
    """Passes over all rows, each in a new order, cut to the number of steps."""
    generator = torch.Generator().manual_seed(training.seed)
    wanted = training.steps * training.rows
    passes = -(-wanted // len(rows))
    order = [torch.randperm(len(rows), generator=generator) for _ in range(passes)]
    for places in torch.cat(order)[:wanted].split(training.rows):
        yield rows[places]


def save_checkpoint(parts: dict[str, Any], path: Path, *, done: int) -> None:
    """Write a checkpoint atomically."""
    states = {name: part.state_dict() for name, part in parts.items()}
    fresh_one = path.with_suffix(".new")
    torch.save({**states, "done": done}, fresh_one)
    fresh_one.replace(path)


def load_checkpoint(parts: dict[str, Any], path: Path) -> int:
    """The number of steps that an earlier run completed, after loading its state."""
    if not path.exists():
        return 0
    states = torch.load(path, weights_only=True)
    for name, part in parts.items():
        part.load_state_dict(states[name])
    return int(states["done"])
