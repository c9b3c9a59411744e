"""The `bitmap` codec: exact for every dtype, and fast in both directions (`pack --effort fast`).

In a light fine-tune most words do not change, and how far a word moves depends on the exponent of
its reference: weights move by similar amounts, so small weights move by more units in the last
place. Each chunk is therefore grouped, stably, by the exponent of the reference, which the decoder
knows too, and stored as

- a bitmap: one bit per word, set if the word changed;
- the zigzag difference of each changed word as an ordered integer (`tensors.words`), less one, in
  byte planes.

Each of these is a zstd frame whose blocks end where a group ends, so every group has Huffman codes
of its own; eight bits of the bitmap share a code, which then costs less than a bit per word.

Part `N` of chunk N: the bitmap and the planes as sections, each with one byte before it: 0 for raw
bytes, 1 for a zstd frame. A chunk without changed words has no part.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.codecs.shared.base import whole_numbers
from skillpm.delta.codecs.shared.coded import Sections, join, naming
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.coding.zstd_frames import compress_blocks, decompress
from skillpm.delta.kernels import groups as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.kernels.kernel import WIDTHS
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import (
    Bytes,
    Words,
    apply_difference,
    chunk_spans,
    difference,
    from_planes,
    planes_of,
)
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "bitmap"
_RAW, _FRAME = b"\0", b"\1"
_PART_FLOOR = 1 << 12
"""A part has at most these bytes more than its raw bitmap and planes."""


@dataclass(frozen=True, slots=True)
class Changes:
    """The changed words of a chunk, grouped by context.

    `bitmap` [⌈n/8⌉] has one bit per word, the most significant bit first; the last byte is padded
    with zeros. `values` are the zigzag differences of the changed words, less one. `word_ends` and
    `value_ends` are the ends of the groups in both.
    """

    bitmap: Bytes
    values: Words
    word_ends: npt.NDArray[np.int64]
    value_ends: npt.NDArray[np.int64]


def group_changes(folded: Words, contexts: Bytes) -> Changes:
    """Group zigzag differences [n] by their contexts [n], in the order of the words."""
    if folded.itemsize in WIDTHS and compiled(folded.size):
        return _group_compiled(folded, contexts)
    order = np.argsort(contexts, kind="stable")
    grouped = folded[order]
    changed = grouped != 0
    values = grouped[changed] - folded.dtype.type(1)
    word_ends = np.cumsum(np.bincount(contexts, minlength=256))
    moved = np.bincount(contexts[folded != 0], minlength=256)
    return Changes(np.packbits(changed), values, word_ends, np.cumsum(moved))


def ungroup_changes(bitmap: Bytes, values: Words, contexts: Bytes) -> Words:
    """Return the zigzag differences [n] of `Changes`: the inverse of `group_changes`.

    Raises `IntegrityError` if the bitmap does not have as many ones as there are values.
    """
    if values.size and values.itemsize in WIDTHS and compiled(contexts.size):
        folded = np.empty(contexts.size, dtype=values.dtype)
        changed = np.unpackbits(bitmap, count=contexts.size)
        if not kernels.ungroup(changed, values, contexts, folded):
            raise _wrong_count(values.size)
        return folded
    changed = np.unpackbits(bitmap, count=contexts.size).view(np.bool_)
    if np.count_nonzero(changed) != values.size:
        raise _wrong_count(values.size)
    grouped = np.zeros(contexts.size, dtype=values.dtype)
    grouped[changed] = values + values.dtype.type(1)
    folded = np.empty_like(grouped)
    folded[np.argsort(contexts, kind="stable")] = grouped
    return folded


def _group_compiled(folded: Words, contexts: Bytes) -> Changes:
    ends = np.empty(512, dtype=np.int64)
    changed = np.empty(folded.size, dtype=np.uint8)
    values = np.empty(int(np.count_nonzero(folded)) + 1, dtype=folded.dtype)
    kernels.group(folded, contexts, ends, changed, values)
    return Changes(np.packbits(changed), values[:-1], ends[:256], ends[256:])


def _wrong_count(count: int) -> IntegrityError:
    return IntegrityError(f"the bitmap of a chunk does not have {count} words")


def encode_chunk(spec: TensorSpec, reference: Words, tuned: Words) -> tuple[int, bytes]:
    """Return the number of changed words [n] of a chunk, and its part; no bytes for none."""
    folded = difference(reference, tuned, spec.dtype)
    count = int(np.count_nonzero(folded))
    if not count:
        return 0, b""
    changes = group_changes(folded, exponents_of(reference, spec.dtype))
    sections = [_section(changes.bitmap, changes.word_ends // 8)]
    sections += [_section(plane, changes.value_ends) for plane in planes_of(changes.values)]
    return count, join(sections)


def _section(data: Bytes, ends: npt.NDArray[np.int64]) -> bytes:
    frame = compress_blocks(data.data, np.unique(ends).tolist())
    return _RAW + data.tobytes() if frame is None else _FRAME + frame


class BitmapEncoder:
    """A `TensorEncoder`: encodes one tensor, chunk by chunk in order."""

    def __init__(self, spec: TensorSpec, writer: PayloadWriter) -> None:
        self._spec = spec
        self._writer = writer
        self._counts: list[int] = []

    def chunk(self, reference: Words, tuned: Words) -> None:
        """Encode the next chunk [n] against its reference [n]."""
        self.add(*encode_chunk(self._spec, reference, tuned))

    def add(self, count: int, part: bytes) -> None:
        """Write the next chunk, as `encode_chunk` returned it."""
        if count:
            self._writer.put_plain(self._spec.name, str(len(self._counts)), part)
        self._counts.append(count)

    def close(self) -> Record:
        """Write the record of all chunks and return it."""
        record = Record(NAME, {"changed": self._counts})
        self._writer.describe(self._spec.name, record)
        return record


class BitmapDecoder:
    """A `TensorDecoder` that returns the tuned words, bit for bit, from the reference's words."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._counts = _checked(spec, settings)
        parts = {str(number) for number, count in enumerate(self._counts) if count}
        reader.expect_parts(spec.name, parts)

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:  # noqa: ARG002 - codecs share a signature
        """Return the tuned words [n] of one chunk. Raises `IntegrityError` if a part is damaged."""
        count = self._counts[chunk]
        if not count:
            return reference
        bitmap, values = self._read(chunk, count, reference.size)
        contexts = exponents_of(reference, self._spec.dtype)
        with naming(f"`{self._spec.name}`"):
            folded = ungroup_changes(bitmap, values, contexts)
        return apply_difference(reference, folded, self._spec.dtype)

    def delta_of(self, chunk: int, reference: Words | None = None) -> None:
        """Return None: the codec stores differences of bit patterns, not a delta."""

    def live_form(self) -> None:
        """Return None: the tuned words replace the weight."""

    def _read(self, chunk: int, count: int, size: int) -> tuple[Bytes, Words]:
        """Return the bitmap and the values of a chunk of `size` words."""
        name, itemsize = self._spec.name, self._spec.itemsize
        limit = _PART_FLOOR + size + size * itemsize
        sections = Sections(self._reader.plain(name, str(chunk), limit), f"`{name}`")
        bitmap = self._expand(sections.next(), -(-size // 8))
        planes = [self._expand(sections.next(), count) for _ in range(itemsize)]
        sections.close()
        if int(bitmap[-1]) & ((1 << (-size % 8)) - 1):
            raise IntegrityError(f"`{name}`: the bitmap of a chunk has bits after its end")
        return bitmap, from_planes(planes)

    def _expand(self, section: bytes, expected: int) -> Bytes:
        what = f"a section of `{self._spec.name}`"
        kind, data = section[:1], section[1:]
        if kind == _FRAME:
            return np.frombuffer(decompress(data, expected, what), dtype=np.uint8)
        if kind != _RAW or len(data) != expected:
            raise IntegrityError(f"{what} is damaged: expected {expected} bytes")
        return np.frombuffer(data, dtype=np.uint8)


def _checked(spec: TensorSpec, settings: Mapping[str, Any]) -> list[int]:
    """Return the number of changed words of each chunk. Raises `IntegrityError`."""
    spans = chunk_spans(spec)
    counts = whole_numbers(settings.get("changed"))
    if counts is None or len(counts) != len(spans):
        raise IntegrityError(f"`{spec.name}`: expected {len(spans)} counts of changed words")
    for count, (start, stop) in zip(counts, spans, strict=True):
        if not 0 <= count <= stop - start:
            message = f"`{spec.name}`: a chunk has {stop - start} words, but {count} changed"
            raise IntegrityError(message)
    return counts


CODEC = Codec(NAME, BitmapDecoder, known_error=0.0)
