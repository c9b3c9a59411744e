"""Figure 6: MB/s of each codec's decoder on the tune, and of the lossless encoder, beside zipnn.

`python -m benchmarks.llm.codecs BASE TUNED PACK…` decodes every tensor of the packs by its codec,
on one thread. Hashing, files and manifests are not timed, and neither are those of zipnn. MB are
those of the decoded tensors; seconds are processor time. The first tensor of each codec, which may
compile kernels, is decoded once more and timed the second time.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tools.table import Table, add_output, publish
from skillpm.archive.reader import open_pack
from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.encoding.schemes import Lossless
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.streams import pair_chunks, whole
from skillpm.flows.packs.composition import opened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from skillpm.delta.decoding.open_pack import OpenPack
    from skillpm.delta.tensors.ports import Source
    from skillpm.spec.dtypes import TensorSpec


@dataclass
class Rate:
    """Bytes of tensors, and processor seconds."""

    size: int = 0
    seconds: float = 0.0

    @contextmanager
    def timed(self, size: int) -> Iterator[None]:
        """Add the processor time of the block, which works on `size` bytes."""
        started = time.process_time()
        yield
        self.seconds += time.process_time() - started
        self.size += size

    def __str__(self) -> str:
        return f"{self.size / 1e6 / self.seconds:,.0f}" if self.size else "-"


@dataclass
class Rates:
    """Encoder and decoder of one method."""

    encode: Rate = field(default_factory=Rate)
    decode: Rate = field(default_factory=Rate)


@dataclass(frozen=True)
class OneTensor:
    """A model of one tensor in memory, so that reading files is not timed."""

    specs: dict[str, TensorSpec]
    held: list[bytes]

    @classmethod
    def of(cls, model: Checkpoint, name: str) -> OneTensor:
        """The tensor of a checkpoint."""
        return cls({name: model.specs[name]}, [bytes(chunk) for chunk in model.chunks(name)])

    def chunks(self, _name: str) -> Iterator[bytes]:
        """The tensor's chunks."""
        return iter(self.held)


def decode(base: Checkpoint, packs: Sequence[Path]) -> dict[str, Rates]:
    """The decoder's rate of each codec over all packs."""
    found: defaultdict[str, Rates] = defaultdict(Rates)
    for pack in opened([open_pack(path) for path in packs]):
        pack.hash_layers()
        for name, entry in pack.entries.items():
            if entry.codec is None or name not in base.specs:
                continue
            source = OneTensor.of(base, name)
            if entry.codec not in found:
                _decoded(pack, name, source)
            with found[entry.codec].decode.timed(entry.spec.nbytes):
                _decoded(pack, name, source)
    return dict(found)


def _decoded(pack: OpenPack, name: str, source: OneTensor) -> None:
    for _ in pack.decode(name, source, with_delta=False):
        pass


def encode_lossless(base: Checkpoint, tuned: Checkpoint) -> Rate:
    """The lossless encoder's rate."""
    rate = Rate()
    shared = [name for name, spec in tuned.specs.items() if base.specs.get(name) == spec]
    _encoded(base, tuned, shared[0])
    for name in shared:
        before, after = (OneTensor.of(model, name) for model in (base, tuned))
        with rate.timed(after.specs[name].nbytes):
            _encoded(before, after, name)
    return rate


def _encoded(before: Source, after: Source, name: str) -> None:
    pair = Pair(name, before.specs[name], after.specs[name])
    writer = PayloadWriter(io.BytesIO())
    Lossless().encode(pair, pair_chunks(before, after, pair), writer)


def zipnn_of_xor(base: Checkpoint, tuned: Checkpoint) -> Rates:
    """The XOR of all bf16 words, compressed by zipnn; its round trip is checked."""
    from zipnn import ZipNN  # of the extra `bench`

    names = [name for name, spec in tuned.specs.items() if base.specs.get(name) == spec]
    words = [whole(tuned, tuned.specs[n]) ^ whole(base, base.specs[n]) for n in names]
    data = np.concatenate(words).tobytes()
    rates = Rates()
    with rates.encode.timed(len(data)):
        small = ZipNN(bytearray_dtype="bfloat16", input_format="byte").compress(bytearray(data))
    with rates.decode.timed(len(data)):
        back = ZipNN(bytearray_dtype="bfloat16", input_format="byte").decompress(small)
    assert bytes(back) == data
    return rates


def table(base: Path, tuned: Path, packs: Sequence[Path]) -> Table:
    """The rates of all codecs."""
    before, after = open_checkpoint(base), open_checkpoint(tuned)
    found = decode(before, packs)
    found.setdefault("lossless", Rates()).encode = encode_lossless(before, after)
    peer = zipnn_of_xor(before, after)
    result = Table(
        "MB/s of codecs alone, one thread, processor time",
        ("codec", "MB decoded", "encode", "decode", "zipnn's decode to ours"),
    )
    for name, rates in [*sorted(found.items()), ("zipnn of the XOR", peer)]:
        size = f"{rates.decode.size / 1e6:.1f}"
        result.row(name, size, rates.encode, rates.decode, _ratio(peer.decode, rates.decode))
    return result


def _ratio(peer: Rate, ours: Rate) -> str:
    if not ours.size:
        return "-"
    return f"{peer.size / peer.seconds * ours.seconds / ours.size:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.llm.codecs", description=__doc__)
    parser.add_argument("base", type=Path)
    parser.add_argument("tuned", type=Path)
    parser.add_argument("packs", nargs="+", type=Path)
    add_output(parser)
    arguments = parser.parse_args()
    publish(table(arguments.base, arguments.tuned, arguments.packs), arguments.append)


if __name__ == "__main__":
    main()
