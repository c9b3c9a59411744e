"""Writes models of large shapes, block by block, and models tuned from them.

`python -m benchmarks.large.synthetic DIR --shapes 70b` writes DIR/base and DIR/tuned: two layers of
a 70B llama with its embedding and head, 7.6 GB each. `--shapes experts` writes a mixture of 40,000
small tensors, 160 MB each. The weights repeat a few random blocks at random offsets, so a model is
written at the speed of the disk. It needs only numpy: a benchmark runs it as a process, to keep its
own memory small.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from benchmarks.tensors.synthetic import Shapes, bfloat16, file_name, header_of, write_small

if TYPE_CHECKING:
    from collections.abc import Iterator

_WEIGHT, _STEP = 0.02, 2e-5
_BLOCK = 1 << 22
_BLOCKS = 4
_HIDDEN, _INNER, _VOCABULARY, _KEYS = 8192, 28672, 128256, 1024
_EXPERTS, _BLOCKS_OF_EXPERTS, _EXPERT_HIDDEN, _EXPERT_INNER = 278, 48, 32, 64


def shapes_70b(layers: int = 2) -> list[Shapes]:
    """The tensors of Llama 3 70B with this number of layers; a file for each layer and end."""
    shards: list[Shapes] = [{"model.embed_tokens.weight": (_VOCABULARY, _HIDDEN)}]
    for number in range(layers):
        prefix = f"model.layers.{number}"
        shards.append(
            {
                f"{prefix}.self_attn.q_proj.weight": (_HIDDEN, _HIDDEN),
                f"{prefix}.self_attn.k_proj.weight": (_KEYS, _HIDDEN),
                f"{prefix}.self_attn.v_proj.weight": (_KEYS, _HIDDEN),
                f"{prefix}.self_attn.o_proj.weight": (_HIDDEN, _HIDDEN),
                f"{prefix}.mlp.gate_proj.weight": (_INNER, _HIDDEN),
                f"{prefix}.mlp.up_proj.weight": (_INNER, _HIDDEN),
                f"{prefix}.mlp.down_proj.weight": (_HIDDEN, _INNER),
                f"{prefix}.input_layernorm.weight": (_HIDDEN,),
                f"{prefix}.post_attention_layernorm.weight": (_HIDDEN,),
            }
        )
    ends: Shapes = {"model.norm.weight": (_HIDDEN,), "lm_head.weight": (_VOCABULARY, _HIDDEN)}
    return [*shards, ends]


def shapes_experts() -> list[Shapes]:
    """48 blocks of 278 experts, three small matrices each: 40,032 tensors in eight files."""
    blocks = [_block_of_experts(number) for number in range(_BLOCKS_OF_EXPERTS)]
    each = _BLOCKS_OF_EXPERTS // 8
    return [
        {name: shape for block in blocks[at : at + each] for name, shape in block.items()}
        for at in range(0, _BLOCKS_OF_EXPERTS, each)
    ]


def _block_of_experts(number: int) -> Shapes:
    names = (f"model.layers.{number}.mlp.experts.{expert}" for expert in range(_EXPERTS))
    shapes: Shapes = {}
    for name in names:
        shapes[f"{name}.gate_proj.weight"] = (_EXPERT_INNER, _EXPERT_HIDDEN)
        shapes[f"{name}.up_proj.weight"] = (_EXPERT_INNER, _EXPERT_HIDDEN)
        shapes[f"{name}.down_proj.weight"] = (_EXPERT_HIDDEN, _EXPERT_INNER)
    return shapes


SHAPES = {"70b": shapes_70b, "experts": shapes_experts}

Pair = tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint16]]


class _Weights:
    """Base and tuned weights in pieces, cut from a few random blocks at random offsets."""

    def __init__(self) -> None:
        self._generator = np.random.default_rng(0)
        self._blocks = [self._block() for _ in range(_BLOCKS)]

    def _block(self) -> Pair:
        weights = self._generator.standard_normal(_BLOCK, dtype=np.float32) * np.float32(_WEIGHT)
        step = self._generator.standard_normal(_BLOCK, dtype=np.float32) * np.float32(_STEP)
        before = bfloat16(weights)
        exact = (before.astype(np.uint32) << 16).view(np.float32)
        return before, bfloat16(exact + step)

    def pieces(self, size: int) -> Iterator[Pair]:
        """Yield `size` weights in pieces of at most 2^22."""
        while size:
            before, after = self._blocks[self._generator.integers(_BLOCKS)]
            start = int(self._generator.integers(_BLOCK // 2))
            count = min(size, _BLOCK - start)
            yield before[start : start + count], after[start : start + count]
            size -= count


def make(folder: Path, shards: list[Shapes]) -> None:
    """Write folder/base and folder/tuned; every tensor of the tuned model differs."""
    weights = _Weights()
    for model in ("base", "tuned"):
        (folder / model).mkdir(parents=True)
        write_small(folder / model, shards)
    for number, shard in enumerate(shards):
        name = file_name(number, len(shards))
        with (
            (folder / "base" / name).open("wb") as before,
            (folder / "tuned" / name).open("wb") as after,
        ):
            for file in (before, after):
                file.write(header_of(shard))
            for shape in shard.values():
                for old, new in weights.pieces(int(np.prod(shape))):
                    before.write(old.data)
                    after.write(new.data)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--shapes", choices=SHAPES, default="70b")
    arguments = parser.parse_args()
    make(arguments.folder, SHAPES[arguments.shapes]())
