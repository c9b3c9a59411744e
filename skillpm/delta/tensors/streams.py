"""Tensors as streams of chunks: the reference and the tuned tensor, read in step."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from math import prod

import numpy as np

from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import CHUNK, Source
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.delta.tensors.words import Words, chunk_spans, word_count, word_dtype, words_of
from skillpm.errors import GraftError
from skillpm.spec.dtypes import BITS, TensorSpec

Chunk = tuple[Words, Words]
"""The words of the reference and of the tuned tensor, both [n]."""


def reference_chunks(source: Source, spec: TensorSpec) -> Iterator[Words]:
    """Yield the reference of `spec`'s tensor, chunk by chunk.

    A pack is encoded and decoded against the reference. It is the source's own tensor if the shapes
    agree. For a resized tensor it is zeros, with the overlap of both shapes copied in. It is zeros
    if the source lacks the tensor, if the ranks differ, or if an element is less than a byte.
    """
    before = source.specs.get(spec.name)
    if before is not None and before.shape == spec.shape:
        yield from (words_of(chunk, spec) for chunk in source.chunks(spec.name))
    elif before is not None and _share_a_part(before, spec):
        yield from _regroup(_overlap(source, before, spec), CHUNK)
    else:
        dtype = word_dtype(spec.itemsize)
        yield from (np.zeros(stop - start, dtype) for start, stop in chunk_spans(spec))


def _share_a_part(before: TensorSpec, spec: TensorSpec) -> bool:
    """Whether both shapes have the same rank, whole-byte elements and an overlap."""
    alike = len(before.shape) == len(spec.shape) and BITS[spec.dtype] >= 8  # noqa: PLR2004 - a byte
    return alike and before.elements > 0 and spec.elements > 0


def _overlap(source: Source, before: TensorSpec, spec: TensorSpec) -> Iterator[Words]:
    """Yield a flat tensor of `spec`'s shape with its overlap with `before`, in pieces.

    Holds a chunk and a row of each tensor in memory.
    """
    dtype, (old_row, row) = (
        word_dtype(spec.itemsize),
        (prod(before.shape[1:]), prod(spec.shape[1:])),
    )
    shared = tuple(
        slice(0, min(a, b)) for a, b in zip(before.shape[1:], spec.shape[1:], strict=True)
    )
    rows = (words_of(chunk, before) for chunk in source.chunks(spec.name))
    left = min(before.shape[0], spec.shape[0])
    for block in _regroup(rows, old_row * max(1, CHUNK // max(row, old_row))):
        old = block.reshape(-1, *before.shape[1:])[:left]
        padded = np.zeros((old.shape[0], *spec.shape[1:]), dtype)
        padded[:, *shared] = old[:, *shared]
        yield padded.reshape(-1)
        left -= old.shape[0]
        if not left:
            break
    missing = row * (spec.shape[0] - before.shape[0])
    for start in range(0, missing, CHUNK):
        yield np.zeros(min(CHUNK, missing - start), dtype)


def _regroup(pieces: Iterable[Words], size: int) -> Iterator[Words]:
    """Yield the words of all pieces [n], `size` at a time; the last has fewer."""
    held: list[Words] = []
    count = 0
    for piece in pieces:
        held.append(piece)
        count += piece.size
        if count < size:
            continue
        words = held[0] if len(held) == 1 else np.concatenate(held)
        end = count - count % size
        yield from (words[start : start + size] for start in range(0, end, size))
        held, count = [words[end:]], count - end
    if count:
        yield np.concatenate(held)


def whole(source: Source, spec: TensorSpec) -> Words:
    """Return a whole tensor, flat."""
    words = np.empty(word_count(spec), dtype=word_dtype(spec.itemsize))
    end = 0
    for chunk in source.chunks(spec.name):
        piece = words_of(chunk, spec)
        words[end : end + piece.size] = piece
        end += piece.size
    return words


def tuned_chunks(tuned: Source, pair: Pair) -> Iterator[Words]:
    """Yield the tuned tensor chunk by chunk, rounded to the stored dtype if that differs.

    Raises `GraftError` if a value does not fit the stored dtype.
    """
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    read = tuned.specs[pair.read_name]
    for chunk in tuned.chunks(pair.read_name):
        words = words_of(chunk, read)
        if pair.cast is None:
            yield words
            continue
        cast, bad = from_float64(to_float64(words, read.dtype), pair.tuned.dtype)
        if bad.any():
            raise GraftError(
                f"`{pair.tensor}` has a value that does not fit {pair.tuned.dtype}: "
                "it overflows or is NaN"
            )
        yield cast


@dataclass(frozen=True)
class PairChunks:
    """The reference's and the tuned words of one tensor, in step. Each iteration reads both."""

    base: Source
    tuned: Source
    pair: Pair

    def __iter__(self) -> Iterator[Chunk]:
        """Read the chunks in order."""
        spec = self.pair.tuned
        assert spec is not None  # noqa: S101 - for the type checker; callers pass no removal
        references = reference_chunks(self.base, spec)
        return zip(references, tuned_chunks(self.tuned, self.pair), strict=True)


def pair_chunks(base: Source, tuned: Source, pair: Pair) -> PairChunks:
    """Return the chunks of one tensor of both models."""
    return PairChunks(base, tuned, pair)
