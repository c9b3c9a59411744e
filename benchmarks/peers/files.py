"""The file of a peer: the smallest form of a safetensors file.

Two tensors: `data`, the concatenation of all parts, and `index`, one zstd frame of JSON that maps
byte ranges to tensors and codecs. A header entry for each part, as in payload layers, would cost
the paper's recipe a tenth of its bytes on models this small.
"""

from __future__ import annotations

import io
import json
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import zstandard
from safetensors.torch import load_file, save_file

from benchmarks.peers import codecs
from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import open_checkpoint
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.tensors.ports import InMemory
from skillpm.delta.tensors.streams import pair_chunks, reference_chunks
from skillpm.flows.packs.composition import opened
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import dump_header, layout

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.peers.task import Task
    from skillpm.delta.encoding.schemes import Scheme
    from skillpm.delta.tensors.ports import Source
    from skillpm.delta.tensors.words import Words

TORCH = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
}


class LeanWriter(PayloadWriter):
    """A payload writer that saves its layer without a header entry for each part."""

    def __init__(self) -> None:
        self._bytes = io.BytesIO()
        super().__init__(self._bytes)

    def save(self, path: Path) -> int:
        """Write the file; return its bytes."""
        names = sorted(self._parts, key=self._parts.__getitem__)
        index = {"parts": [[name, self._parts[name][1]] for name in names], "is": self._records}
        text = json.dumps(index, separators=(",", ":")).encode()
        frame = zstandard.ZstdCompressor(level=19).compress(text)
        flat = {"data": self._bytes.getvalue(), "index": frame}
        tensors = {k: torch.frombuffer(bytearray(v), dtype=torch.uint8) for k, v in flat.items()}
        save_file(tensors, path)
        return path.stat().st_size


def lean_reader(path: Path) -> PayloadReader:
    """A file of `LeanWriter` as the payload layer that it represents, in memory."""
    found = {name: one.numpy().tobytes() for name, one in load_file(path).items()}
    index = json.loads(zstandard.ZstdDecompressor().decompress(found["index"]))
    placed = layout([TensorSpec(name, "U8", (size,)) for name, size in index["parts"]])
    sizes = [size for _, size in index["parts"]]
    starts = dict(
        zip([name for name, _ in index["parts"]], accumulate(sizes, initial=0), strict=False)
    )
    parts = [
        found["data"][starts[one.spec.name] : starts[one.spec.name] + one.spec.nbytes]
        for one in placed
    ]
    layer = dump_header(placed, dict(sorted(index["is"].items()))) + b"".join(parts)
    return PayloadReader(InMemory(layer), path.name)


def write(task: Task, scheme: Scheme, path: Path) -> int:
    """Encode every tensor that differs; return the bytes of the file."""
    writer = LeanWriter()
    for pair in task.pairs:
        scheme.encode(pair, pair_chunks(task.before, task.after, pair), writer)
    return writer.save(path)


def read(path: Path, base: Path) -> dict[str, torch.Tensor]:
    """Base + file, every tensor rounded once to its storage dtype."""
    reader, before = lean_reader(path), open_checkpoint(base)
    state = load_file(base / "model.safetensors")
    for name in reader.records:
        spec = before.specs[name]
        words = np.concatenate(list(_decoded(reader, before, spec)))
        state[name] = tensor_of(words.tobytes(), spec)
    return state


def _decoded(reader: PayloadReader, base: Source, spec: TensorSpec) -> Iterator[Words]:
    record = reader.records[spec.name]
    make: Any = codecs.DECODERS.get(record.codec) or CODECS[record.codec].open
    decoder = make(spec, reader, record.settings)
    for number, reference in enumerate(reference_chunks(base, spec)):
        yield decoder.decode_chunk(number, reference)


def read_skillpack(path: Path, base: Path) -> dict[str, torch.Tensor]:
    """Base + `.skillpack`, composed as by `graft`. Rejects layered packs."""
    before = open_checkpoint(base)
    composition = Composition(before, [WeightedPack(one) for one in opened([open_pack(path)])])
    return {
        name: tensor_of(b"".join(composition.chunks(name)), spec)
        for name, spec in composition.specs.items()
    }


def tensor_of(data: bytes, spec: TensorSpec) -> torch.Tensor:
    """Raw little-endian bytes as a tensor."""
    return torch.frombuffer(bytearray(data), dtype=TORCH[spec.dtype]).reshape(spec.shape)
