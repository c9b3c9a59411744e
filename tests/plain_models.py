"""Tiny models written by numpy: a base in two files, and fine-tunes that change some tensors."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

WIDTH, INNER, WORDS, LAYERS = 16, 24, 40, 2
Tensors = Mapping[str, Any]


def plain_tensors(seed: int = 0) -> dict[str, Any]:
    """The tensors of a base, with transformers' names."""
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (WORDS, WIDTH)}
    for layer in range(LAYERS):
        start = f"model.layers.{layer}"
        for name in ("q_proj", "k_proj"):
            shapes[f"{start}.self_attn.{name}.weight"] = (WIDTH, WIDTH)
        shapes[f"{start}.mlp.up_proj.weight"] = (INNER, WIDTH)
        shapes[f"{start}.mlp.down_proj.weight"] = (WIDTH, INNER)
        shapes[f"{start}.input_layernorm.weight"] = (WIDTH,)
    shapes["lm_head.weight"] = (WORDS, WIDTH)
    chance = np.random.default_rng(seed)
    return {name: _normal(chance, shape) for name, shape in shapes.items()}


def _normal(chance: np.random.Generator, shape: tuple[int, ...]) -> Any:
    return chance.standard_normal(shape).astype(np.float32)


def nudged(tensors: Tensors, only: str, seed: int) -> dict[str, Any]:
    """The same tensors, with those perturbed whose names contain `only`."""
    chance = np.random.default_rng(seed)
    return {
        name: tensor + np.float32(0.02) * _normal(chance, tensor.shape) if only in name else tensor
        for name, tensor in tensors.items()
    }


def write_plain(folder: Path, tensors: Tensors) -> Path:
    """Write a model directory of two files and an index."""
    folder.mkdir(parents=True)
    middle = "model.layers.1"
    first = {name: tensor for name, tensor in tensors.items() if name < middle}
    weight_map: dict[str, str] = {}
    for number, part in enumerate((first, {n: t for n, t in tensors.items() if n not in first}), 1):
        file = f"model-{number:05}-of-00002.safetensors"
        save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= dict.fromkeys(part, file)
    size = sum(tensor.nbytes for tensor in tensors.values())
    index = {"metadata": {"total_size": size}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "torch_dtype": "float32",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text('{"version": "1.0"}')
    return folder


def write_tuned(folder: Path, only: str, seed: int = 1) -> Path:
    """Write a fine-tune of the base."""
    return write_plain(folder, nudged(plain_tensors(), only, seed))
