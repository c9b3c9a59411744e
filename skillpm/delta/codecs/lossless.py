"""The `lossless` codec: exact for every dtype.

Each chunk takes one of five modes, one letter each in the record's `modes`:

- `z` nothing changed: no part.
- `s` few words changed: their positions as gaps, and their differences, in byte planes.
- `d` byte planes of the ordered-integer difference (ordering of bit patterns as in FM-Delta,
  zigzag folding as in protocol buffers).
- `x` as `d`, with the words first sorted, stably, by the exponent of the reference. A fine-tune
  moves all weights by about as much, so in units of the last place it moves small ones more:
  sorting puts differences of like size side by side, where an entropy coder gains from it. The
  decoder knows the reference, so the order costs no byte.
- `y` as `s`, with the differences sorted as in `x`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.bits import (
    Bytes,
    Words,
    apply_difference,
    chunk_spans,
    difference,
    from_planes,
    planes_of,
)
from skillpm.delta.codecs.base import put_planes, read_planes
from skillpm.delta.codecs.sparse import GAP_BYTES, gap_planes, positions_from
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "lossless"
SPARSE_BELOW = {1: 0.06, 2: 0.25, 4: 0.5, 8: 0.5}
"""Share of changed words, by the bytes of a word, under which positions are worth their bytes."""
_EXPONENT_SHIFT = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7}
_SORT_FROM = 1 << 12
_SPARSE = frozenset("sy")
_SORTED = frozenset("xy")


class Encoder:
    """Encodes one tensor, chunk by chunk in order; `record` at the end."""

    def __init__(self, spec: TensorSpec, writer: PayloadWriter) -> None:
        self._spec = spec
        self._writer = writer
        self._modes: list[str] = []
        self._counts: list[int] = []

    def chunk(self, reference: Words, tuned: Words) -> None:
        """Encode the next chunk against its reference."""
        folded = difference(reference, tuned, self._spec.dtype)
        changed = int(np.count_nonzero(folded))
        mode = _mode_of(changed, folded, self._spec.dtype)
        number = len(self._modes)
        self._modes.append(mode)
        if mode in _SPARSE:
            self._counts.append(changed)
            positions = np.flatnonzero(folded)
            put_planes(self._writer, self._spec.name, f"{number}g", gap_planes(positions))
            folded, reference = folded[positions], reference[positions]
        if mode in _SORTED:
            folded = folded[exponent_order(reference, self._spec.dtype)]
        if mode != "z":
            put_planes(self._writer, self._spec.name, f"{number}p", planes_of(folded))

    def close(self) -> Record:
        """The record of all chunks encoded."""
        record = Record(NAME, {"modes": "".join(self._modes), "counts": self._counts})
        self._writer.describe(self._spec.name, record)
        return record


def _mode_of(changed: int, folded: Words, dtype: str) -> str:
    if not changed:
        return "z"
    sorts = dtype in _EXPONENT_SHIFT and changed >= _SORT_FROM
    if changed < SPARSE_BELOW[folded.itemsize] * folded.size:
        return "y" if sorts else "s"
    return "x" if sorts else "d"


def exponent_order(reference: Words, dtype: str) -> npt.NDArray[np.intp]:
    """The stable order of words by the reference's exponent: integers alone, so exact."""
    kind = reference.dtype.type
    shifted = (reference << kind(1)) >> kind(_EXPONENT_SHIFT[dtype] + 1)
    narrow = shifted.astype(np.uint8 if dtype != "F64" else np.uint16)
    return np.argsort(narrow, kind="stable")


class Decoder:
    """Gives the tuned words back, chunk by chunk, from the reference's."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        self._spec = spec
        self._reader = reader
        self._spans = chunk_spans(spec)
        self._modes, self._counts = _checked(spec, settings, self._spans)
        parts = {
            f"{number}p{plane}"
            for number, mode in enumerate(self._modes)
            for plane in range(spec.itemsize)
            if mode != "z"
        }
        gaps = {f"{n}g{plane}" for n in self._counts for plane in range(GAP_BYTES)}
        reader.expect_parts(spec.name, parts | gaps)

    def words(self, chunk: int, reference: Words) -> Words:
        """The tuned words of one chunk."""
        mode = self._modes[chunk]
        if mode == "z":
            return reference
        positions = self._positions(chunk, reference.size) if mode in _SPARSE else None
        touched = reference if positions is None else reference[positions]
        folded = from_planes(self._planes(f"{chunk}p", self._spec.itemsize, touched.size))
        if mode in _SORTED:
            scattered = np.empty_like(folded)
            scattered[exponent_order(touched, self._spec.dtype)] = folded
            folded = scattered
        fresh = apply_difference(touched, folded, self._spec.dtype)
        if positions is None:
            return fresh
        words = reference.copy()
        words[positions] = fresh
        return words

    def _positions(self, chunk: int, size: int) -> npt.NDArray[np.int64]:
        gaps = self._planes(f"{chunk}g", GAP_BYTES, self._counts[chunk])
        return positions_from(gaps, size, self._spec.name)

    def _planes(self, stem: str, planes: int, size: int) -> list[Bytes]:
        return read_planes(self._reader, self._spec.name, stem, planes=planes, size=size)


def _checked(
    spec: TensorSpec, settings: Mapping[str, Any], spans: list[tuple[int, int]]
) -> tuple[str, dict[int, int]]:
    modes, counts = settings.get("modes"), settings.get("counts")
    if not isinstance(modes, str) or len(modes) != len(spans) or set(modes) - set("zsdxy"):
        raise IntegrityError(f"`{spec.name}`: the modes of its chunks do not fit its shape")
    if _SORTED & set(modes) and spec.dtype not in _EXPONENT_SHIFT:
        raise IntegrityError(f"`{spec.name}`: {spec.dtype} has no exponent to sort by")
    sparse = [number for number, mode in enumerate(modes) if mode in _SPARSE]
    if not isinstance(counts, list) or len(counts) != len(sparse):
        raise IntegrityError(f"`{spec.name}`: the counts of its sparse chunks do not fit")
    for number, count in zip(sparse, counts, strict=True):
        start, stop = spans[number]
        if type(count) is not int or not 0 < count <= stop - start:
            raise IntegrityError(f"`{spec.name}`: chunk {number} cannot change {count!r} words")
    return modes, dict(zip(sparse, counts, strict=True))
