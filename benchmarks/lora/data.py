"""A llama of a given size with random bf16 weights that transformers loads, and a LoRA for it.

`python -m benchmarks.lora.data DIR --gb 1 --rank 64` writes DIR/base, DIR/lora-F32 (as PEFT saves
it: it trains in float32) and DIR/lora-BF16. It needs only numpy, and little memory.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np

from benchmarks.tensors.synthetic import (
    Shapes,
    bfloat16,
    file_name,
    header_of,
    shapes_of,
    sharded,
    write_small,
)

_WEIGHT = 0.02
_ROWS = 1 << 22
_PREFIX = "base_model.model."


def write_shard(path: Path, shard: Shapes, seed: int) -> None:
    """Write one shard of the base, a few million weights at a time."""
    generator = np.random.default_rng(seed)
    with path.open("wb") as file:
        file.write(header_of(shard))
        for name, shape in shard.items():
            size = int(np.prod(shape))
            middle = np.float32(1.0 if "norm" in name else 0.0)
            for start in range(0, size, _ROWS):
                count = min(_ROWS, size - start)
                weights = generator.standard_normal(count, dtype=np.float32)
                file.write(bfloat16(weights * np.float32(_WEIGHT) + middle).data)


def write_config(folder: Path, shapes: Shapes) -> None:
    """Write a config with which transformers builds these tensors."""
    vocabulary, width = shapes["model.embed_tokens.weight"]
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "bfloat16",
        "vocab_size": vocabulary,
        "hidden_size": width,
        "intermediate_size": shapes["model.layers.0.mlp.up_proj.weight"][0],
        "num_hidden_layers": sum("input_layernorm" in name for name in shapes),
        "num_attention_heads": 16,
        "num_key_value_heads": 16,
        "tie_word_embeddings": False,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def write_adapter(folder: Path, base: Path, shapes: Shapes, rank: int, dtype: str) -> None:
    """Write a LoRA on every linear layer of every block, α = 2r; B is not zero."""
    generator = np.random.default_rng(7)
    folder.mkdir()
    tensors: dict[str, tuple[int, int]] = {}
    for name, shape in shapes.items():
        if len(shape) == 2 and ".layers." in name:
            stem = _PREFIX + name.removesuffix("weight")
            tensors[f"{stem}lora_A.weight"] = (rank, shape[1])
            tensors[f"{stem}lora_B.weight"] = (shape[0], rank)
    plain: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in tensors.items():
        start, end = end, end + (4 if dtype == "F32" else 2) * int(np.prod(shape))
        plain[name] = {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(plain).encode()
    text += b" " * (-len(text) % 8)
    with (folder / "adapter_model.safetensors").open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name, shape in tensors.items():
            size = np.float32(1e-3 if "lora_B" in name else shape[1] ** -0.5)
            values = generator.standard_normal(shape, dtype=np.float32) * size
            file.write((values if dtype == "F32" else bfloat16(values)).data)
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 2 * rank,
              "base_model_name_or_path": str(base), "bias": "none", "inference_mode": True,
              "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj",
                                 "down_proj"]}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")


def make(folder: Path, gigabytes: float, rank: int) -> None:
    """Write the base and its adapters."""
    shapes = shapes_of(gigabytes)
    shards = sharded(shapes)
    base = folder / "base"
    base.mkdir(parents=True)
    write_small(base, shards)
    write_config(base, shapes)
    for number, shard in enumerate(shards):
        write_shard(base / file_name(number, len(shards)), shard, number)
    for dtype in ("F32", "BF16"):
        write_adapter(folder / f"lora-{dtype}", base, shapes, rank, dtype)
    os.sync()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gb", type=float, default=1.0)
    parser.add_argument("--rank", type=int, default=64)
    arguments = parser.parse_args()
    make(arguments.folder, arguments.gb, arguments.rank)
