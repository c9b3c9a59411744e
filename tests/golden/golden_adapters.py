"""Adapters for the golden base, made of SHA-256 in counter mode."""

import hashlib
import json
from pathlib import Path

import numpy as np

from skillpm.delta.tensors.rounding import from_float64
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import dump_header, layout

RANK = 6
DTYPES = ("F32", "BF16", "F16")
MODULES = {
    "embed_tokens": (128, 96),
    "layers.0.attn.q_proj": (96, 96),
    "layers.0.mlp.up_proj": (160, 96),
    "layers.1.attn.q_proj": (96, 96),
    "layers.1.mlp.down_proj": (96, 160),
    "lm_head": (128, 96),
}
"""The matrices of the golden base `WIDE`, [out, in]; the embedding [rows, width]."""


def _values(seed: str, count: int) -> np.ndarray:
    """Numbers in [-1, 1), some of them much smaller than others."""
    blocks = range(-(-count // 8))
    data = b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in blocks)
    words = np.frombuffer(data, dtype="<i4")[:count]
    return np.asarray(np.ldexp(words.astype(np.float64), -31 - (words % 29)))


def write_adapter(folder: Path, *, dora: bool) -> Path:
    """A PEFT adapter directory: plain LoRA with an odd scale, or DoRA.

    The golden packs were made when an embedding could be adapted too. The base has no config, so it
    is unknown what an embedding is tied to, and the embedding is left out here.
    """
    folder.mkdir(exist_ok=True)
    config = {"peft_type": "LORA", "r": RANK, "lora_alpha": 5, "use_rslora": True,
              "use_dora": dora, "base_model_name_or_path": "golden/wide"}  # fmt: skip
    (folder / "adapter_config.json").write_text(json.dumps(config))
    tensors: dict[str, tuple[str, tuple[int, ...]]] = {}
    adapted = [each for each in MODULES.items() if each[0] != "embed_tokens"]
    for number, (module, (rows, width)) in enumerate(adapted):
        dtype = DTYPES[number % len(DTYPES)]
        stem = f"base_model.model.{module}.lora_"
        embedding = module == "embed_tokens"
        middle, end = ("embedding_", "") if embedding else ("", ".weight")
        sides = (rows, width) if embedding else (width, rows)
        tensors[f"{stem}{middle}A{end}"] = dtype, (RANK, sides[0])
        tensors[f"{stem}{middle}B{end}"] = dtype, (sides[1], RANK)
        if dora:
            tensors[f"{stem}magnitude_vector"] = "F32", (sides[1],)
    placed = layout([TensorSpec(name, *what) for name, what in tensors.items()])
    parts = []
    for each in placed:
        values = _values(each.spec.name, each.spec.elements)
        if "magnitude" in each.spec.name:
            values = np.abs(values) + 4.0
        parts.append(from_float64(values, each.spec.dtype)[0].tobytes())
    data = dump_header(placed, {"format": "pt"}) + b"".join(parts)
    (folder / "adapter_model.safetensors").write_bytes(data)
    return folder
