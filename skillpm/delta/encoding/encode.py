"""Encodes the tensors that differ, then decodes the written layers and measures them."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import groupby
from math import sqrt
from typing import BinaryIO

import numpy as np

from skillpm.delta.coding.payload import PayloadWriter
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.encoding.lora_source import Adapted
from skillpm.delta.encoding.measured import MeasuredTensor, TensorMeter, square
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.module_kinds import block_of
from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.streams import pair_chunks, tuned_chunks
from skillpm.delta.tensors.words import words_of
from skillpm.parallel import Advance, batches, parallel_map, thread_pool
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import is_float
from skillpm.spec.merkle import leaf_of_chunks


@dataclass(frozen=True)
class EncodingJob:
    """The two models that are read, and the number of tensors that are encoded at once."""

    base: Source
    tuned: Source
    workers: int
    advance: Advance


@dataclass(frozen=True)
class EncodedBlock:
    """The encoded tensors of one block, whose layer can now be written."""

    name: str
    codecs: dict[str, str]
    writer: PayloadWriter


def blocks_of(pairs: Sequence[Pair]) -> dict[str, list[Pair]]:
    """The pairs that have a tuned tensor, by block; blocks and tensors are sorted by name."""
    kept = sorted(
        (pair for pair in pairs if pair.tuned),
        key=lambda pair: (block_of(pair.tensor), pair.tensor),
    )
    return {name: list(members) for name, members in groupby(kept, lambda p: block_of(p.tensor))}


def encode_blocks(
    job: EncodingJob, pairs: Sequence[Pair], scheme: Scheme, spool: Callable[[], BinaryIO]
) -> Iterator[EncodedBlock]:
    """Encode all pairs that have a tuned tensor, block by block in a stable order.

    Tensors of a block and of the next one are encoded at the same time. The spool of a block is
    closed when the caller asks for the next block.
    """
    with thread_pool(job.workers) as pool:
        submitted: list[tuple[str, BinaryIO, PayloadWriter, list[Future[dict[str, str]]]]] = []
        for name, members in blocks_of(pairs).items():
            spooled = spool()
            writer = PayloadWriter(spooled)
            futures = [
                pool.submit(_encode_batch, job, batch, scheme, writer)
                for batch in batches(members, _size)
            ]
            submitted.append((name, spooled, writer, futures))
        for name, spooled, writer, futures in submitted:
            codecs = {
                tensor: codec for future in futures for tensor, codec in future.result().items()
            }
            yield EncodedBlock(name, codecs, writer)
            spooled.close()


def _size(pair: Pair) -> int:
    return pair.tuned.nbytes if pair.tuned else 0


def _encode_batch(
    job: EncodingJob, batch: Sequence[Pair], scheme: Scheme, writer: PayloadWriter
) -> dict[str, str]:
    return {pair.tensor: _encode(job, pair, scheme, writer) for pair in batch}


def _encode(job: EncodingJob, pair: Pair, scheme: Scheme, writer: PayloadWriter) -> str:
    record = scheme.encode(pair, pair_chunks(job.base, job.tuned, pair), writer)
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    job.advance(pair.tuned.nbytes)
    return record.codec


def measure_pack(
    job: EncodingJob, pairs: Sequence[Pair], pack: OpenPack
) -> dict[str, MeasuredTensor]:
    """Decode every tensor of the pack against its base and compare it with the tuned model."""
    kept = [pair for pair in pairs if pair.tuned]
    measured = parallel_map(
        lambda pair: measure_tensor(job, pair, pack), kept, workers=job.workers, size=_size
    )
    return {pair.tensor: tensor for pair, tensor in zip(kept, measured, strict=True)}


def measure_tensor(job: EncodingJob, pair: Pair, pack: OpenPack) -> MeasuredTensor:
    """Decode one tensor of the pack and compare it with the tuned model."""
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    known = job.tuned.measured(pair, pack) if isinstance(job.tuned, Adapted) else None
    if known is None:
        meter = TensorMeter(
            pair.tuned, additive=pair.change == "changed" and is_float(pair.tuned.dtype)
        )
        decoded = pack.decode(pair.tensor, job.base, with_delta=False)
        for (reference, words, _), tuned in zip(
            decoded, tuned_chunks(job.tuned, pair), strict=True
        ):
            meter.add(reference, words, tuned)
        known = meter.result()
    job.advance(pair.tuned.nbytes)
    return known


def cast_leaf(tuned: Source, pair: Pair) -> Digest:
    """Return the leaf of a tuned tensor after it is rounded to the dtype that is stored."""
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    return leaf_of_chunks(pair.tuned, (words.tobytes() for words in tuned_chunks(tuned, pair)))


def rounding_share(base: Source, tuned: Source, pairs: Sequence[Pair]) -> float | None:
    """Return ‖t - round(t)‖/‖t - base‖ over the tensors that were cast; None if none was.

    Reads the cast tensors of both models once more.
    """
    cast = [pair for pair in pairs if pair.cast and pair.tuned and is_float(pair.cast)]
    lost = length = 0.0
    for pair in cast:
        source = tuned.specs[pair.read_name]
        for data, words in zip(
            tuned.chunks(pair.read_name), tuned_chunks(tuned, pair), strict=True
        ):
            exact = to_float64(words_of(data, source), source.dtype)
            assert pair.tuned is not None  # noqa: S101 - for the type checker
            rounded = to_float64(words, pair.tuned.dtype)
            with np.errstate(invalid="ignore", over="ignore"):
                lost += square(exact - rounded)
        length += _length(base, tuned, pair)
    if not cast:
        return None
    return sqrt(lost / length) if length else 0.0


def _length(base: Source, tuned: Source, pair: Pair) -> float:
    """Return ‖t - base‖² of a tensor that was cast; ‖t‖² if it was added or resized."""
    source = tuned.specs[pair.read_name]
    values = (
        to_float64(words_of(data, source), source.dtype) for data in tuned.chunks(pair.read_name)
    )
    if pair.change != "changed":
        return sum(map(square, values))
    before = base.specs[pair.tensor]
    originals = (
        to_float64(words_of(data, before), before.dtype) for data in base.chunks(pair.tensor)
    )
    return sum(square(value - original) for value, original in zip(values, originals, strict=True))
