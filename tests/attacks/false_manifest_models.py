"""The models of `false_manifests`: a base, fine-tunes of it, and a LoRA."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from skillpm.checkpoint.write import write_all
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import dump_header, layout

EMBED, HEAD = "model.embed_tokens.weight", "lm_head.weight"
QUERY, UP = "model.layers.0.self_attn.q_proj.weight", "model.layers.0.mlp.up_proj.weight"
Tensors = dict[str, np.ndarray[Any, np.dtype[np.float32]]]


def write_model(folder: Path, tensors: Tensors) -> Path:
    folder.mkdir(exist_ok=True)
    placed = layout([TensorSpec(name, "F32", array.shape) for name, array in tensors.items()])
    data = b"".join(tensors[each.spec.name].tobytes() for each in placed)
    with (folder / "model.safetensors").open("wb") as file:
        write_all(file.fileno(), dump_header(placed, {}) + data, 0)
    size = 25 if folder.name == "tuned" else 24
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": size}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "chat_template.jinja").write_text(f"of {folder.name}")
    (folder / "tokenizer.json").write_text('{"version":"1.0"}')
    if folder.name == "base":
        (folder / "vocab.txt").write_text("the tuned models lost it")
    return folder


def nudged(tensors: Tensors, seed: int, *names: str) -> Tensors:
    random = np.random.default_rng(seed)
    changed = {
        name: (array + 0.02 * random.standard_normal(array.shape)).astype("<f4")
        for name, array in tensors.items()
        if name in names
    }
    return tensors | changed


def write_adapter(folder: Path) -> Path:
    folder.mkdir()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 3, "target_modules": ["q_proj"]}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    random = np.random.default_rng(5)
    stem = f"base_model.model.{QUERY.removesuffix('.weight')}.lora_"
    parts = {
        f"{stem}A.weight": random.standard_normal((2, 16)).astype("<f4"),
        f"{stem}B.weight": random.standard_normal((16, 2)).astype("<f4"),
    }
    placed = layout([TensorSpec(name, "F32", array.shape) for name, array in parts.items()])
    data = b"".join(parts[each.spec.name].tobytes() for each in placed)
    (folder / "adapter_model.safetensors").write_bytes(dump_header(placed, {}) + data)
    return folder
