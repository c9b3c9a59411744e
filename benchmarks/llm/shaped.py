"""A base and its fine-tune in the shapes of Llama 3.1 8B, of the rows of a smaller fine-tune.

`python -m benchmarks.llm.shaped BASE TUNED OUT [--layers 1]` writes some of its layers to OUT/base
and OUT/tuned. The words of each kind of tensor repeat those of the same kind in the fine-tune, so
that differences are distributed as in a real one. What a wider matrix has in common across its
rows, such as a low rank, is not kept.
"""

from __future__ import annotations

import argparse
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.llm.places import WEIGHTS
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.checkpoint.write import write_shard
from skillpm.delta.tensors.ports import CHUNK
from skillpm.spec.dtypes import TensorSpec

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

LAYERS, HIDDEN, INNER, KEYS, VOCABULARY = 32, 4096, 14336, 1024, 128256
"""The shapes of Llama 3.1 8B (Grattafiori et al. 2024, arXiv 2407.21783, table 3)."""
_STEP = 1 << 20
"""The words by which the repetition of one tensor starts after that of the one before."""
_ENDS = {
    "model.embed_tokens.weight": (VOCABULARY, HIDDEN),
    "lm_head.weight": (VOCABULARY, HIDDEN),
    "model.norm.weight": (HIDDEN,),
}
_LAYER = {
    "self_attn.q_proj.weight": (HIDDEN, HIDDEN),
    "self_attn.k_proj.weight": (KEYS, HIDDEN),
    "self_attn.v_proj.weight": (KEYS, HIDDEN),
    "self_attn.o_proj.weight": (HIDDEN, HIDDEN),
    "mlp.gate_proj.weight": (INNER, HIDDEN),
    "mlp.up_proj.weight": (INNER, HIDDEN),
    "mlp.down_proj.weight": (HIDDEN, INNER),
    "input_layernorm.weight": (HIDDEN,),
    "post_attention_layernorm.weight": (HIDDEN,),
}


def shapes(layers: int, *, ends: bool) -> dict[str, tuple[int, ...]]:
    """The shapes of some layers, with embedding, head and last norm if `ends`."""
    found = {
        f"model.layers.{number}.{name}": shape
        for number in range(layers)
        for name, shape in _LAYER.items()
    }
    return {**found, **(_ENDS if ends else {})}


@dataclass
class Shaped:
    """Tensors of given shapes that repeat the words of a checkpoint's tensors of the same kind."""

    source: Checkpoint
    wanted: Mapping[str, tuple[int, ...]]
    _pools: dict[str, bytes] = field(default_factory=dict)

    @cached_property
    def specs(self) -> dict[str, TensorSpec]:
        """The tensors in bfloat16, as those of the checkpoint."""
        return {name: TensorSpec(name, "BF16", shape) for name, shape in self.wanted.items()}

    def read_bytes(self, name: str, start: int, stop: int) -> bytes:
        """Some of a tensor's bytes."""
        pool = self._pool(name)
        number = list(self.wanted).index(name)
        at = (start + 2 * _STEP * number) % len(pool)
        found = bytearray()
        while len(found) < stop - start:
            found += pool[at : at + stop - start - len(found)]
            at = 0
        return bytes(found)

    def chunks(self, name: str) -> Iterator[bytes]:
        """The bytes of a tensor."""
        size = 2 * prod(self.wanted[name])
        for start in range(0, size, 2 * CHUNK):
            yield self.read_bytes(name, start, min(size, start + 2 * CHUNK))

    def _pool(self, name: str) -> bytes:
        """All words of the tensors of the same kind; the embedding's for a head."""
        kind = "embed_tokens.weight" if name == "lm_head.weight" else name.split(".", 3)[-1]
        kind = kind.removeprefix("model.")
        if kind not in self._pools:
            names = [each for each in self.source.specs if each.endswith(kind)]
            chunks = (chunk for each in names for chunk in self.source.chunks(each))
            self._pools[kind] = b"".join(chunks)
        return self._pools[kind]


def write(source: Path, out: Path, layers: int) -> None:
    """Write some layers, without embedding and head, as a model folder."""
    model = Shaped(open_checkpoint(source), shapes(layers, ends=False))
    out.mkdir(parents=True)
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    (out / "config.json").write_text(json.dumps(config), encoding="utf-8")
    with ThreadPoolExecutor(1) as pool:
        write_shard(
            out / WEIGHTS,
            model.specs,
            model.chunks,
            metadata={"format": "pt"},
            pool=pool,
            advance=lambda _bytes: None,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("base", "tuned", "out"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--layers", type=int, default=1)
    arguments = parser.parse_args()
    for name in ("base", "tuned"):
        write(getattr(arguments, name), arguments.out / name, arguments.layers)


if __name__ == "__main__":
    main()
