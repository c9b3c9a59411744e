"""Tensors as streams of chunks: the reference and the tuned tensor, read in step."""

from collections.abc import Iterator

import numpy as np

from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import Source
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
        padded = _overlap(source, before, spec)
        yield from (padded[start:stop] for start, stop in chunk_spans(spec))
    else:
        dtype = word_dtype(spec.itemsize)
        yield from (np.zeros(stop - start, dtype) for start, stop in chunk_spans(spec))


def _share_a_part(before: TensorSpec, spec: TensorSpec) -> bool:
    """Whether both shapes have the same rank, whole-byte elements and an overlap."""
    alike = len(before.shape) == len(spec.shape) and BITS[spec.dtype] >= 8  # noqa: PLR2004 - a byte
    return alike and before.elements > 0 and spec.elements > 0


def _overlap(source: Source, before: TensorSpec, spec: TensorSpec) -> Words:
    """Return a flat tensor of `spec`'s shape with its overlap with `before`.

    Holds both tensors in memory.
    """
    old = whole(source, before).reshape(before.shape)
    padded = np.zeros(spec.shape, dtype=old.dtype)
    shared = tuple(slice(0, min(a, b)) for a, b in zip(before.shape, spec.shape, strict=True))
    padded[shared] = old[shared]
    return padded.reshape(-1)


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


def pair_chunks(base: Source, tuned: Source, pair: Pair) -> Iterator[Chunk]:
    """Yield the reference's and the tuned words of one tensor, in step."""
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    return zip(reference_chunks(base, pair.tuned), tuned_chunks(tuned, pair), strict=True)
