"""The `lossless` codec: exact for every dtype.

Each chunk takes the cheapest of four modes, one letter each in the record's `modes`:

- `z` nothing changed: no part.
- `s` few words changed: their positions as gaps, and their differences, in byte planes.
- `d` byte planes of the ordered-integer difference (ordering of bit patterns as in FM-Delta,
  zigzag folding as in protocol buffers).
- `x` as `d`, with the words first sorted, stably, by the exponent of the reference. A fine-tune
  moves all weights by about as much, so in units of the last place it moves small ones more:
  sorting puts differences of like size side by side, where an entropy coder gains from it. The
  decoder knows the reference, so the order costs no byte.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.bits import (
    Words,
    apply_difference,
    chunk_spans,
    difference,
    from_planes,
    planes_of,
)
from skillpm.delta.codecs.sparse import GAP_BYTES, gap_planes, positions_from
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "lossless"
SPARSE_BELOW = 0.06
_EXPONENT_SHIFT = {"F64": 52, "F32": 23, "F16": 10, "BF16": 7}
_SORT_FROM = 1 << 12


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
        mode = _mode_of(changed, folded.size, self._spec.dtype)
        number = len(self._modes)
        self._modes.append(mode)
        if mode == "s":
            self._counts.append(changed)
            positions = np.flatnonzero(folded)
            self._put(number, "g", gap_planes(positions))
            folded = folded[positions]
        elif mode == "x":
            folded = folded[exponent_order(reference, self._spec.dtype)]
        if mode != "z":
            self._put(number, "p", planes_of(folded))

    def _put(self, number: int, letter: str, planes: list[npt.NDArray[np.uint8]]) -> None:
        for plane, values in enumerate(planes):
            self._writer.put(self._spec.name, f"{number}{letter}{plane}", values.data)

    def close(self) -> Record:
        """The record of all chunks encoded."""
        record = Record(NAME, {"modes": "".join(self._modes), "counts": self._counts})
        self._writer.describe(self._spec.name, record)
        return record


def _mode_of(changed: int, size: int, dtype: str) -> str:
    if not changed:
        return "z"
    if changed < SPARSE_BELOW * size:
        return "s"
    return "x" if dtype in _EXPONENT_SHIFT and size >= _SORT_FROM else "d"


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
        planes = {"z": 0, "s": spec.itemsize, "d": spec.itemsize, "x": spec.itemsize}
        parts = {
            f"{number}p{plane}"
            for number, mode in enumerate(self._modes)
            for plane in range(planes[mode])
        }
        gaps = {f"{n}g{plane}" for n in self._counts for plane in range(GAP_BYTES)}
        reader.expect_parts(spec.name, parts | gaps)

    def words(self, chunk: int, reference: Words) -> Words:
        """The tuned words of one chunk."""
        start, stop = self._spans[chunk]
        mode, size = self._modes[chunk], stop - start
        if mode == "z":
            return reference
        if mode == "s":
            return self._sparse(chunk, reference)
        folded = from_planes(self._planes(chunk, "p", size, self._spec.itemsize))
        if mode == "x":
            scattered = np.empty_like(folded)
            scattered[exponent_order(reference, self._spec.dtype)] = folded
            folded = scattered
        return apply_difference(reference, folded, self._spec.dtype)

    def _planes(
        self, chunk: int, letter: str, size: int, planes: int
    ) -> list[npt.NDArray[np.uint8]]:
        names = (f"{chunk}{letter}{plane}" for plane in range(planes))
        parts = (self._reader.part(self._spec.name, name, size) for name in names)
        return [np.frombuffer(part, dtype=np.uint8) for part in parts]

    def _sparse(self, chunk: int, reference: Words) -> Words:
        count = self._counts[chunk]
        gaps = self._planes(chunk, "g", count, GAP_BYTES)
        positions = positions_from(gaps, reference.size, self._spec.name)
        folded = from_planes(self._planes(chunk, "p", count, self._spec.itemsize))
        words = reference.copy()
        words[positions] = apply_difference(reference[positions], folded, self._spec.dtype)
        return words


def _checked(
    spec: TensorSpec, settings: Mapping[str, Any], spans: list[tuple[int, int]]
) -> tuple[str, dict[int, int]]:
    modes, counts = settings.get("modes"), settings.get("counts")
    if not isinstance(modes, str) or len(modes) != len(spans) or set(modes) - set("zsdx"):
        raise IntegrityError(f"`{spec.name}`: the modes of its chunks do not fit its shape")
    if "x" in modes and spec.dtype not in _EXPONENT_SHIFT:
        raise IntegrityError(f"`{spec.name}`: {spec.dtype} has no exponent to sort by")
    sparse = [number for number, mode in enumerate(modes) if mode == "s"]
    if not isinstance(counts, list) or len(counts) != len(sparse):
        raise IntegrityError(f"`{spec.name}`: the counts of its sparse chunks do not fit")
    for number, count in zip(sparse, counts, strict=True):
        start, stop = spans[number]
        if type(count) is not int or not 0 < count <= stop - start:
            raise IntegrityError(f"`{spec.name}`: chunk {number} cannot change {count!r} words")
    return modes, dict(zip(sparse, counts, strict=True))
