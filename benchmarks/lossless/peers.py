"""Lossless peers on a fine-tune; round trips are checked and timed on one thread in one process.

Peers compress all weights as one array of words, in the order of the names; the names, shapes and
headers that they would also need are not counted. Our size is that of the whole file.
"""

from __future__ import annotations

import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import constriction
import numpy as np
import numpy.typing as npt
import zstandard
from zipnn import ZipNN

from skillpm.checkpoint.model import Checkpoint, open_checkpoint
from skillpm.delta.codecs import lossless
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.delta.coding.raw_bits import BY_WIDTH, pack_raw, unpack_raw
from skillpm.delta.tensors.ports import CHUNK, InMemory
from skillpm.delta.tensors.words import (
    Words,
    apply_difference,
    difference,
    from_planes,
    planes_of,
    unzigzag,
    words_of,
    zigzag,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from skillpm.spec.dtypes import TensorSpec

_ZIPNN = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}
Symbols = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Pair:
    """One tensor of both models."""

    spec: TensorSpec
    base: Words
    tuned: Words


@dataclass(frozen=True, slots=True)
class Measured:
    """The bytes of one method on one fine-tune, and the seconds of encoding and decoding."""

    size: int
    encode: float
    decode: float


def pairs_of(base: Path, tuned: Path) -> list[Pair]:
    """The floating tensors that both models have, in their most common dtype."""
    before, after = open_checkpoint(base), open_checkpoint(tuned)
    names = [n for n, spec in sorted(after.specs.items()) if before.specs.get(n) == spec]
    pairs = [Pair(after.specs[n], _words(before, n), _words(after, n)) for n in names]
    return [pair for pair in pairs if pair.spec.dtype in _ZIPNN]


def _words(model: Checkpoint, name: str) -> Words:
    return words_of(b"".join(bytes(chunk) for chunk in model.chunks(name)), model.specs[name])


def ours(pairs: list[Pair]) -> Measured:
    """Our codec alone, as in a layer: without hashing, manifest and files."""
    started = time.perf_counter()
    writer = PayloadWriter(io.BytesIO())
    records = {}
    for pair in pairs:
        encoder = lossless.LosslessEncoder(pair.spec, writer)
        for start in range(0, pair.base.size, CHUNK):
            encoder.chunk(pair.base[start : start + CHUNK], pair.tuned[start : start + CHUNK])
        records[pair.spec.name] = encoder.close()
    layer = io.BytesIO()
    writer.write_to(layer)
    made = time.perf_counter()
    reader = PayloadReader(InMemory(layer.getvalue()), "the layer")
    for pair in pairs:
        decoder = lossless.LosslessDecoder(pair.spec, reader, records[pair.spec.name].settings)
        for number, start in enumerate(range(0, pair.base.size, CHUNK)):
            span = slice(start, start + CHUNK)
            assert np.array_equal(decoder.decode_chunk(number, pair.base[span]), pair.tuned[span])
    return Measured(len(layer.getvalue()), made - started, time.perf_counter() - made)


def peers(pairs: list[Pair], level: int) -> dict[str, Measured]:
    """All peers, by the names of their columns."""
    base = np.concatenate([pair.base for pair in pairs])
    tuned = np.concatenate([pair.tuned for pair in pairs])
    dtype = pairs[0].spec.dtype
    flat = [tuned ^ base]
    compress = zstandard.ZstdCompressor(level=level).compress
    expand = zstandard.ZstdDecompressor().decompress
    return {
        "zipnn of the XOR": _timed(
            lambda: _zipnn(dtype).compress(bytearray((tuned ^ base).tobytes())),
            lambda data: np.frombuffer(_zipnn(dtype).decompress(data), base.dtype) ^ base,
            tuned,
        ),
        f"zstd -{level} of the XOR": _timed(
            lambda: compress(flat[0].data),
            lambda data: np.frombuffer(expand(data), base.dtype) ^ base,
            tuned,
        ),
        f"zstd -{level} of its planes": _timed(
            lambda: [compress(plane.data) for plane in planes_of(tuned ^ base)],
            lambda data: from_planes([np.frombuffer(expand(f), np.uint8) for f in data]) ^ base,
            tuned,
        ),
        "FM-Delta-like": _timed(
            lambda: [fm_delta(pair) for pair in pairs],
            lambda data: np.concatenate(
                [fm_delta_back(pair, one) for pair, one in zip(pairs, data, strict=True)]
            ),
            tuned,
        ),
    }


def _timed(
    encode: Callable[[], Any], decode: Callable[[Any], npt.NDArray[Any]], expected: Words
) -> Measured:
    started = time.perf_counter()
    data = encode()
    made = time.perf_counter()
    back = decode(data)
    read = time.perf_counter()
    assert np.array_equal(back, expected)
    return Measured(_size(data), made - started, read - made)


def _size(data: Any) -> int:
    """The bytes of a frame, or of a list of frames; the model of a range coder is not counted."""
    if isinstance(data, FmDelta):
        return data.codes.nbytes + len(data.raw)
    return sum(map(_size, data)) if isinstance(data, list) else len(data)


def _zipnn(dtype: str) -> ZipNN:
    return ZipNN(bytearray_dtype=_ZIPNN[dtype], input_format="byte")


@dataclass(frozen=True)
class FmDelta:
    """A tensor in FM-Delta's form."""

    counts: npt.NDArray[np.float64]
    codes: npt.NDArray[np.uint32]
    raw: bytes


def fm_delta(pair: Pair) -> FmDelta:
    """Range-coded signs and bit lengths of the ordered-integer differences, and raw low bits.

    FM-Delta (Ning et al., NeurIPS 2024) adapts its frequencies while coding. Here they are the
    tensor's own, exact and not counted, which favours the peer.
    """
    signs, sizes = _split(difference(pair.base, pair.tuned, pair.spec.dtype))
    lengths = np.frexp(sizes.astype(np.float64))[1]
    symbols = (2 * lengths + signs).astype(np.int32)
    counts = np.bincount(symbols, minlength=2).astype(np.float64)
    coder = constriction.stream.queue.RangeEncoder()
    coder.encode(symbols, _categorical(counts))
    widths = np.maximum(lengths - 1, 0).astype(np.uint8)
    low = sizes & ((np.uint64(1) << widths.astype(np.uint64)) - np.uint64(1))
    return FmDelta(
        counts, coder.get_compressed(), pack_raw(low.astype(np.uint32), widths, BY_WIDTH)
    )


def fm_delta_back(pair: Pair, data: FmDelta) -> Words:
    """The inverse of `fm_delta`."""
    coder = constriction.stream.queue.RangeDecoder(data.codes)
    symbols = coder.decode(_categorical(data.counts), pair.base.size)
    lengths, signs = symbols >> 1, symbols & 1
    widths = np.maximum(lengths - 1, 0).astype(np.uint8)
    sizes = unpack_raw(data.raw, widths, BY_WIDTH).astype(np.int64)
    sizes |= (lengths > 0).astype(np.int64) << widths.astype(np.int64)
    signed = np.where(signs, -sizes, sizes).astype(f"<i{pair.base.itemsize}")
    return apply_difference(pair.base, zigzag(signed.view(pair.base.dtype)), pair.spec.dtype)


def _split(folded: Words) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint64]]:
    signed = unzigzag(folded).view(f"<i{folded.itemsize}").astype(np.int64)
    return (signed < 0).astype(np.int64), np.abs(signed).astype(np.uint64)


def _categorical(counts: npt.NDArray[np.float64]) -> Any:
    return constriction.stream.model.Categorical(counts / counts.sum(), perfect=False)
