"""Tiny models written by transformers, each kind with a fine-tune."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    LlamaConfig,
    LlamaForCausalLM,
)

VOCABULARY = 96
Pair = tuple[Path, Path]


def llama(*, tied: bool = False, seed: int = 0) -> Any:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=64,
        tie_word_embeddings=tied,
    )
    return LlamaForCausalLM(config)


def nudge(model: Any, *, seed: int = 1, only: str = "") -> Any:
    """Perturb the parameters whose names contain `only`, like a fine-tune."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if only in name:
                noise = torch.randn(parameter.shape, generator=generator) * 0.02
                parameter.add_(noise.to(parameter.dtype))
    return model


def save(model: Any, folder: Path, **options: Any) -> Path:
    model.save_pretrained(folder, **options)
    return folder


def _plain(folder: Path, dtype: torch.dtype, **options: Any) -> Pair:
    base = save(llama().to(dtype), folder / "base", **options)
    return base, save(nudge(llama().to(dtype)), folder / "tuned", **options)


def _sharded(folder: Path) -> Pair:
    return _plain(folder, torch.float32, max_shard_size="20KB")


def _tied(folder: Path) -> Pair:
    base = save(llama(tied=True), folder / "base")
    return base, save(nudge(llama(tied=True)), folder / "tuned")


def _grown(folder: Path) -> Pair:
    base = save(llama(), folder / "base")
    (base / "added_tokens.json").write_text("{}")
    tuned = llama()
    tuned.resize_token_embeddings(VOCABULARY + 4, mean_resizing=False)
    save(nudge(tuned), folder / "tuned")
    tokens = {f"<new{n}>": VOCABULARY + n for n in range(4)}
    (folder / "tuned" / "added_tokens.json").write_text(json.dumps(tokens))
    return base, folder / "tuned"


def _head(folder: Path) -> Pair:
    config_class: Any = BertConfig  # `num_labels` is not annotated
    config = config_class(
        vocab_size=VOCABULARY,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=64,
        num_labels=3,
    )
    torch.manual_seed(0)
    base = BertModel(config)
    tuned = BertForSequenceClassification(config)
    tuned.bert.load_state_dict(base.state_dict())
    return save(base, folder / "base"), save(nudge(tuned), folder / "tuned")


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], Any]) -> Path:
    """Change the tensors of a model in one file."""
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path, metadata={"format": "pt"})
    return folder


def _buffer(folder: Path) -> Pair:
    base, tuned = _plain(folder, torch.float32)
    buffer = "model.layers.0.self_attn.rotary_emb.inv_freq"
    return rewrite(base, lambda tensors: tensors.update({buffer: torch.rand(4)})), tuned


def _mixed(folder: Path) -> Pair:
    base, tuned = _plain(folder, torch.bfloat16)

    def widen(tensors: dict[str, torch.Tensor]) -> None:
        for name, tensor in tensors.items():
            if "norm" in name:
                tensors[name] = tensor.float()
            if "down_proj" in name:
                tensors[name] = tensor.half()

    return rewrite(base, widen), rewrite(tuned, widen)


MAKERS: dict[str, Callable[[Path], Pair]] = {
    "fp32": lambda folder: _plain(folder, torch.float32),
    "fp16": lambda folder: _plain(folder, torch.float16),
    "bf16": lambda folder: _plain(folder, torch.bfloat16),
    "sharded": _sharded,
    "tied": _tied,
    "grown": _grown,
    "head": _head,
    "buffer": _buffer,
    "mixed": _mixed,
}


class Models:
    """Every kind of model, made on first use. Tests must not write to them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._made: dict[str, Pair] = {}

    def pair(self, kind: str) -> Pair:
        """A base and a fine-tune of it."""
        if kind not in self._made:
            self._made[kind] = MAKERS[kind](self._folder / kind)
        return self._made[kind]

    def tuned(self, only: str, seed: int = 1) -> Pair:
        """The fp32 base, and a fine-tune that changes only some of its tensors."""
        key = f"fp32-{only}-{seed}"
        if key not in self._made:
            tuned = save(nudge(llama(), seed=seed, only=only), self._folder / key)
            self._made[key] = (self.pair("fp32")[0], tuned)
        return self._made[key]


def copy_model(source: Path, target: Path) -> Path:
    return Path(shutil.copytree(source, target))


def logits(folder: Path) -> torch.Tensor:
    """The logits of the model, loaded by transformers.

    Its weights are copied first, because the alignment of a mapped file decides which kernel runs.
    """
    config = json.loads((folder / "config.json").read_text())
    classifies = "SequenceClassification" in config["architectures"][0]
    kind: Any = AutoModelForSequenceClassification if classifies else AutoModelForCausalLM
    model = kind.from_pretrained(folder, dtype="auto").eval()
    with torch.no_grad():
        for weight in (*model.parameters(), *model.buffers()):
            weight.data = weight.data.clone()
        found: torch.Tensor = model(torch.arange(12)[None]).logits
    return found
