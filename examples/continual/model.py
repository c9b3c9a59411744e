"""A byte-level language model of 0.1M parameters: initialise, tune, save, measure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from examples.code_search.settings import Advance

END = "<|end|>"
CONTEXT = 64
LONGEST = 256
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


@dataclass(frozen=True, slots=True)
class Lesson:
    """`steps` batches of `rows` rows; `only` restricts training to parameters with such names."""

    steps: int
    learning_rate: float
    rows: int = 16
    seed: int = 0
    only: tuple[str, ...] = ()


BASE = Lesson(steps=600, learning_rate=4e-3)
SKILL = Lesson(steps=60, learning_rate=2e-3)


def tokenizer() -> Any:
    """One token per byte and an end token; no text has unknown tokens."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: place for place, letter in enumerate([END, *letters])}
    found = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    found.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    found.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=found, bos_token=END, eos_token=END, pad_token=END
    )


def fresh(seed: int) -> Any:
    """A Llama with random, untrained weights."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=257,
        hidden_size=64,
        intermediate_size=160,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=LONGEST,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=0,
        pad_token_id=0,
    )
    return LlamaForCausalLM(config)


def load(folder: Path) -> Any:
    """Load a model directory in float32."""
    found: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return found.eval()


def save(model: Any, folder: Path) -> Path:
    """Write the model in bf16 with its tokenizer."""
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    return folder


def rows(texts: Iterable[str]) -> torch.Tensor:
    """Texts concatenated, each after an end token, [rows, CONTEXT]; the remainder is dropped."""
    spell = tokenizer()
    line = torch.tensor([token for text in texts for token in (0, *spell(text)["input_ids"])])
    count = len(line) // CONTEXT
    return line[: count * CONTEXT].view(count, CONTEXT)


def learn(model: Any, data: torch.Tensor, lesson: Lesson, advance: Advance, what: str) -> Any:
    """Tune the model in place with AdamW; the rate rises for a tenth of the steps, then falls."""
    chosen = [
        parameter
        for name, parameter in model.named_parameters()
        if not lesson.only or any(part in name for part in lesson.only)
    ]
    optimizer = torch.optim.AdamW(chosen, lr=lesson.learning_rate, weight_decay=0.0)
    rising = max(1, lesson.steps // 10)
    model.train()
    for step, batch in enumerate(_batches(data, lesson)):
        left = (lesson.steps - step) / (lesson.steps - rising)
        optimizer.param_groups[0]["lr"] = lesson.learning_rate * min((step + 1) / rising, left, 1.0)
        optimizer.zero_grad()
        _losses(model, batch).mean().backward()
        torch.nn.utils.clip_grad_norm_(chosen, 1.0)
        optimizer.step()
        advance(what, step + 1, lesson.steps)
    return model.eval()


def _batches(data: torch.Tensor, lesson: Lesson) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(lesson.seed)
    for _ in range(lesson.steps):
        yield data[torch.randint(len(data), (lesson.rows,), generator=generator)]


def _losses(model: Any, batch: torch.Tensor) -> torch.Tensor:
    """Cross-entropy in nats of every token but the first, [rows, CONTEXT - 1]."""
    logits = model(input_ids=batch).logits[:, :-1].float()
    return torch.nn.functional.cross_entropy(logits.mT, batch[:, 1:], reduction="none")


@torch.inference_mode()
def loss(model: Any, data: torch.Tensor) -> float:
    """Mean cross-entropy in nats of held-out rows."""
    return float(torch.cat([_losses(model, part) for part in data.split(32)]).mean())
