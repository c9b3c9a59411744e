"""Tiny checkpoints made with transformers, in the usual forms of checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.utils import logging

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

logging.set_verbosity_error()
logging.disable_progress_bar()

VOCABULARY = 512
_STEP = 1e-3


def _tiny(dtype: torch.dtype, *, tied: bool = False) -> Any:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=4,
        tie_word_embeddings=tied,
    )
    model: Any = LlamaForCausalLM(config)
    return model.to(dtype)


def _moved(model: Any) -> Any:
    """The model after a step of noise on every parameter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * _STEP)
    return model


def _plain(dtype: torch.dtype, folder: Path, *, tied: bool = False, shard: str = "5GB") -> None:
    model = _tiny(dtype, tied=tied)
    model.save_pretrained(folder / "base", max_shard_size=shard)
    _moved(model).save_pretrained(folder / "tuned", max_shard_size=shard)


def _grown(folder: Path) -> None:
    """Eight tokens are added before the tuning, as for a chat template."""
    model = _tiny(torch.bfloat16)
    model.save_pretrained(folder / "base")
    model.resize_token_embeddings(VOCABULARY + 8, mean_resizing=False)
    _moved(model).save_pretrained(folder / "tuned")


def _mixed(folder: Path) -> None:
    """fp8 matrices, integer buffers and bf16 in one file, as in quantised checkpoints."""
    model = _tiny(torch.bfloat16)
    for name in ("base", "tuned"):
        model.save_pretrained(folder / name)
        tensors = {key: value.clone() for key, value in model.state_dict().items()}
        for key in [key for key in tensors if "mlp" in key]:
            tensors[key] = tensors[key].to(torch.float8_e4m3fn)
        tensors["lm_head.scale"] = torch.arange(64, dtype=torch.int8) + (name == "tuned")
        tensors["steps"] = torch.tensor([7 if name == "base" else 1007], dtype=torch.int64)
        save_file(tensors, folder / name / "model.safetensors", metadata={"format": "pt"})
        _moved(model)


FORMS: dict[str, Callable[[Path], None]] = {
    "bf16": lambda folder: _plain(torch.bfloat16, folder),
    "fp16": lambda folder: _plain(torch.float16, folder),
    "fp32": lambda folder: _plain(torch.float32, folder),
    "sharded": lambda folder: _plain(torch.bfloat16, folder, shard="300KB"),
    "tied head": lambda folder: _plain(torch.bfloat16, folder, tied=True),
    "grown embeddings": _grown,
    "mixed fp8, int, bf16": _mixed,
}


def make_all(folder: Path) -> Iterator[tuple[str, Path]]:
    """Write base and tuned of every form; yield its name and its folder."""
    for number, (name, make) in enumerate(FORMS.items()):
        place = folder / str(number)
        place.mkdir()
        make(place)
        yield name, place
