"""A llama-like bf16 checkpoint of random weights, and two models tuned from it.

`python -m benchmarks.tensors.synthetic DIR --gb 1` writes DIR/base, DIR/tuned (Gaussian noise of
5e-3 of its size in every tensor) and DIR/touched (one shard of ten tuned, the others linked). It
needs only numpy: a benchmark runs it as a process, to keep its own memory small.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import numpy as np
import numpy.typing as npt

SHARDS = 10
MOVED = 5e-3
TOUCHED = 4
_WEIGHT = 0.02
_ROWS = 1 << 22

Shapes = dict[str, tuple[int, ...]]


def shapes_of(gigabytes: float) -> Shapes:
    """The tensors of a llama whose bf16 weights take about `gb` GB; it always has a few layers."""
    width = 2048 if gigabytes >= 0.8 else 512
    vocabulary, inner = 16 * width, 11 * width // 4
    ends = 2 * vocabulary * width
    layer = 4 * width * width + 3 * width * inner + 2 * width
    layers = max(2, round((gigabytes * 5e8 - ends) / layer))
    shapes: Shapes = {"model.embed_tokens.weight": (vocabulary, width)}
    for number in range(layers):
        prefix = f"model.layers.{number}"
        for name in "qkvo":
            shapes[f"{prefix}.self_attn.{name}_proj.weight"] = (width, width)
        shapes[f"{prefix}.mlp.gate_proj.weight"] = (inner, width)
        shapes[f"{prefix}.mlp.up_proj.weight"] = (inner, width)
        shapes[f"{prefix}.mlp.down_proj.weight"] = (width, inner)
        shapes[f"{prefix}.input_layernorm.weight"] = (width,)
        shapes[f"{prefix}.post_attention_layernorm.weight"] = (width,)
    return {**shapes, "model.norm.weight": (width,), "lm_head.weight": (vocabulary, width)}


def sharded(shapes: Shapes) -> list[Shapes]:
    """Ten shards of similar size, in the order of the tensors."""
    left = sum(int(np.prod(shape)) for shape in shapes.values())
    shards: list[Shapes] = [{}]
    room = left / SHARDS
    for name, shape in shapes.items():
        size = int(np.prod(shape))
        if shards[-1] and len(shards) < SHARDS and room < size / 2:
            shards.append({})
            room = left / (SHARDS + 1 - len(shards))
        shards[-1][name] = shape
        left, room = left - size, room - size
    return shards


def bfloat16(values: npt.NDArray[np.float32]) -> npt.NDArray[np.uint16]:
    """Round to nearest, ties to even."""
    bits = values.view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype("<u2")


def file_name(number: int, count: int) -> str:
    """The shard's file name in transformers' scheme."""
    return f"model-{number + 1:05}-of-{count:05}.safetensors"


def header_of(shard: Shapes) -> bytes:
    """A safetensors header, padded to a multiple of eight bytes."""
    plain: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shard.items():
        start, end = end, end + 2 * int(np.prod(shape))
        plain[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    text = json.dumps(plain, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def write_pair(base: Path, tuned: Path, shard: Shapes, seed: int) -> None:
    """One shard of the base and its tuned twin, a few million weights at a time."""
    generator = np.random.default_rng(seed)
    with base.open("wb") as before, tuned.open("wb") as after:
        for file in (before, after):
            file.write(header_of(shard))
        for name, shape in shard.items():
            size = int(np.prod(shape))
            middle = np.float32(1.0 if "norm" in name else 0.0)
            for start in range(0, size, _ROWS):
                count = min(_ROWS, size - start)
                weights = generator.standard_normal(count, dtype=np.float32)
                weights = weights * np.float32(_WEIGHT) + middle
                step = generator.standard_normal(count, dtype=np.float32)
                before.write(bfloat16(weights).data)
                after.write(bfloat16(weights + step * np.float32(_WEIGHT * MOVED)).data)


def write_small(folder: Path, shards: list[Shapes]) -> None:
    """The index and a config."""
    count = len(shards)
    places = {name: file_name(n, count) for n, shard in enumerate(shards) for name in shard}
    total = 2 * sum(int(np.prod(shape)) for shard in shards for shape in shard.values())
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")


def make(folder: Path, gigabytes: float) -> None:
    """Write the three model directories."""
    shards = sharded(shapes_of(gigabytes))
    base, tuned, touched = (folder / name for name in ("base", "tuned", "touched"))
    for each in (base, tuned, touched):
        each.mkdir(parents=True)
        write_small(each, shards)
    for number, shard in enumerate(shards):
        name = file_name(number, len(shards))
        write_pair(base / name, tuned / name, shard, seed=number)
        os.link((tuned if number == TOUCHED else base) / name, touched / name)
    os.sync()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--gb", type=float, default=1.0)
    arguments = parser.parse_args()
    make(arguments.folder, arguments.gb)
