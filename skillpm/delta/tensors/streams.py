"""Tensors as streams of chunks, read in step: the reference and what is cut from it."""

from collections.abc import Iterator

import numpy as np

from skillpm.delta.tensors.pairing import Pair
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import from_float64, to_float64
from skillpm.delta.tensors.words import Words, chunk_spans, word_count, word_dtype, words_of
from skillpm.errors import GraftError
from skillpm.spec.dtypes import BITS, TensorSpec

Chunk = tuple[Words, Words]


def reference_chunks(source: Source, spec: TensorSpec) -> Iterator[Words]:
    """What `spec`'s tensor is cut from and decoded against, chunk by chunk.

    The source's own tensor where the shapes agree; where the tensor was resized, zeros with the
    part that both shapes share laid in; where they share none, or its elements are no whole bytes,
    or the source lacks it, zeros.
    """
    before = source.specs.get(spec.name)
    if before is not None and before.shape == spec.shape:
        yield from (words_of(chunk, spec) for chunk in source.chunks(spec.name))
    elif before is not None and _share_a_part(before, spec):
        laid = _overlap(source, before, spec)
        yield from (laid[start:stop] for start, stop in chunk_spans(spec))
    else:
        dtype = word_dtype(spec.itemsize)
        yield from (np.zeros(stop - start, dtype) for start, stop in chunk_spans(spec))


def _share_a_part(before: TensorSpec, spec: TensorSpec) -> bool:
    alike = len(before.shape) == len(spec.shape) and BITS[spec.dtype] >= 8  # noqa: PLR2004 - a byte
    return alike and before.elements > 0 and spec.elements > 0


def _overlap(source: Source, before: TensorSpec, spec: TensorSpec) -> Words:
    """A tensor of `spec`'s shape that holds what it shares with `before`; needs both whole."""
    old = whole(source, before).reshape(before.shape)
    laid = np.zeros(spec.shape, dtype=old.dtype)
    shared = tuple(slice(0, min(a, b)) for a, b in zip(before.shape, spec.shape, strict=True))
    laid[shared] = old[shared]
    return laid.reshape(-1)


def whole(source: Source, spec: TensorSpec) -> Words:
    """A tensor at once, flat."""
    words = np.empty(word_count(spec), dtype=word_dtype(spec.itemsize))
    end = 0
    for chunk in source.chunks(spec.name):
        piece = words_of(chunk, spec)
        words[end : end + piece.size] = piece
        end += piece.size
    return words


def tuned_chunks(tuned: Source, pair: Pair) -> Iterator[Words]:
    """The tuned tensor chunk by chunk, rounded to the stored dtype where it is cast."""
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
                f"`{pair.tensor}` does not fit {pair.tuned.dtype}: it overflows, or is not a number"
            )
        yield cast


def pair_chunks(base: Source, tuned: Source, pair: Pair) -> Iterator[Chunk]:
    """Reference and tuned words of one tensor, in step."""
    assert pair.tuned is not None  # noqa: S101 - for the type checker; callers pass no removal
    return zip(reference_chunks(base, pair.tuned), tuned_chunks(tuned, pair), strict=True)
