"""Models in memory, and packs encoded from them without files."""

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any

import numpy as np

from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.encode import EncodingJob, encode_blocks
from skillpm.delta.encoding.schemes import GraftLLM, Lossless, Scheme
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.delta.tensors.pairing import pair_up
from skillpm.delta.tensors.ports import CHUNK, Source
from skillpm.delta.tensors.rounding import from_float64
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.merkle import leaf_of
from skillpm.spec.names import SkillName

FLOATS = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
INTS = ("BOOL", "U8", "I8", "I16", "U16", "I32", "U32", "I64", "U64", "C64", "F8_E8M0")
SUB_BYTE = ("F4", "F6_E2M3", "F6_E3M2")


@dataclass(frozen=True)
class Bytes:
    """A file in memory."""

    data: bytes

    @property
    def size(self) -> int:
        return len(self.data)

    def read(self, start: int, stop: int) -> bytes:
        return self.data[start:stop]


@dataclass
class Model:
    """A model in memory: dtype, shape and raw bytes of each tensor, by name."""

    tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]
    specs: Mapping[str, TensorSpec] = field(init=False)

    def __post_init__(self) -> None:
        self.specs = {n: TensorSpec(n, d, s) for n, (d, s, _) in self.tensors.items()}
        for name, spec in self.specs.items():
            assert spec.nbytes == len(self.tensors[name][2])

    def chunks(self, name: str) -> Iterator[bytes]:
        data, step = self.tensors[name][2], CHUNK * self.specs[name].itemsize
        yield from (data[start : start + step] for start in range(0, len(data), step))

    def leaf(self, name: str) -> Digest:
        return leaf_of(self.specs[name], self.tensors[name][2])


def numbers(dtype: str, shape: tuple[int, ...], values: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Make a float tensor of these values, rounded to its dtype."""
    flat = np.broadcast_to(np.asarray(values, dtype=np.float64), prod(shape)).copy()
    return dtype, shape, from_float64(flat, dtype)[0].tobytes()


def read_all(source: Source, name: str) -> bytes:
    return b"".join(source.chunks(name))


def layer_of(writer: PayloadWriter) -> bytes:
    sink = io.BytesIO()
    writer.write_to(sink)
    return sink.getvalue()


def new_writer() -> PayloadWriter:
    return PayloadWriter(io.BytesIO())


def reader_of(writer: PayloadWriter) -> PayloadReader:
    return PayloadReader(Bytes(layer_of(writer)), "the layer")


def graftllm(**settings: Any) -> GraftLLM:
    return GraftLLM(decompose, **settings)


def _entry(pair: Any, codec: str, layer: Digest | None) -> FootprintEntry:
    spec = pair.tuned or pair.base
    return FootprintEntry(
        tensor=pair.tensor, change=pair.change, shape=spec.shape, dtype=spec.dtype, leaf=None,
        result=None, codec=codec, layer=layer, source=pair.source,
    )  # fmt: skip


def encode_pack(
    base: Source,
    tuned: Source,
    skill: str = "acme/one",
    *,
    scheme: Scheme | None = None,
    over: tuple[OpenPack, ...] = (),
    cast: bool = False,
) -> OpenPack:
    """Encode a pack of all tensors that differ, in memory."""
    pairs, _ = pair_up(base.specs, tuned.specs, cast=cast)
    differing = [
        p
        for p in pairs
        if p.change != "changed"
        or p.cast
        or read_all(base, p.tensor) != read_all(tuned, p.read_name)
    ]
    layers: dict[Digest, bytes] = {}
    where: dict[str, tuple[str, Digest]] = {}
    work = EncodingJob(base, tuned, 2, lambda _bytes: None)
    for block in encode_blocks(work, differing, scheme or Lossless(), io.BytesIO):
        data = layer_of(block.writer)
        digest = Digest.of(data)
        layers[digest] = data
        where |= {tensor: (codec, digest) for tensor, codec in block.codecs.items()}
    entries = {pair.tensor: _entry(pair, *where.get(pair.tensor, ("none", None)))
               for pair in differing}  # fmt: skip
    below = tuple(pack.skill for pack in over)
    name = SkillName.parse(skill)
    return OpenPack(name, f"{skill} 1.0.0", entries, below, lambda d: Bytes(layers[d]))
