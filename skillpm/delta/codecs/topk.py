"""The `topk` codec: magnitude pruning.

GraftLLM (arXiv 2505.18502), section 3.2: embeddings and head. The largest deltas of the whole
tensor are kept, each as a float16 times one power of two that the record stores; all others are
zero. Every decoded value is exact in float64.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.base import put_planes, read_planes, setting, whole_numbers
from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.forms import SparseEntries
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.shared.sparse import GAP_BYTES, gap_planes, positions_from
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats, from_float64, to_float64
from skillpm.delta.tensors.words import Bytes, chunk_spans, from_planes, planes_of
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "topk"
_VALUE_BYTES = 2
_TOP_EXPONENT = 14
"""Values are scaled so that the largest has this exponent, within the range of float16."""
EXPONENT_LIMIT = 1100
_TOP_SHIFT, _DIGITS, _ALL_BITS = 48, 1 << 16, (1 << 64) - 1
ReadDelta = Callable[[], Iterable[Floats]]
"""Reads a finite delta from its start, float64 [n] for each chunk."""


def encode(spec: TensorSpec, delta: Floats, keep: int, writer: PayloadWriter) -> Record:
    """Write the `keep` largest magnitudes of a flat delta [n]; of equal ones, the first."""
    spans = chunk_spans(spec)
    return encode_chunks(spec, lambda: (delta[a:b] for a, b in spans), keep, writer)


def encode_chunks(spec: TensorSpec, read: ReadDelta, keep: int, writer: PayloadWriter) -> Record:
    """As `encode`, for a finite delta that is read chunk by chunk, at most five times."""
    selection = _select(read, min(keep, spec.elements))
    exponent = selection.exponent
    ties, counts = selection.ties, list[int]()
    for number, (_, delta) in enumerate(zip(chunk_spans(spec), read(), strict=True)):
        magnitudes = np.abs(delta).view(np.uint64)
        kept = (magnitudes > selection.least) & (magnitudes > 0)
        if ties and selection.least:
            equal = np.flatnonzero(magnitudes == selection.least)[:ties]
            kept[equal] = True
            ties -= equal.size
        positions = np.flatnonzero(kept)
        counts.append(int(positions.size))
        if positions.size:
            words, _ = from_float64(np.ldexp(delta[positions], -exponent), "F16")
            put_planes(writer, spec.name, f"{number}g", gap_planes(positions))
            put_planes(writer, spec.name, f"{number}v", planes_of(words))
    record = Record(NAME, {"counts": counts, "exponent": exponent})
    writer.describe(spec.name, record)
    return record


@dataclass(frozen=True)
class _Selection:
    """Which entries are kept: magnitudes above `least`, and the first `ties` that equal it.

    Magnitudes are compared by their bits, as integers. `largest` is the largest of all.
    """

    least: int
    ties: int
    largest: float

    @property
    def exponent(self) -> int:
        """The power of two by which kept values are divided."""
        return int(np.frexp(self.largest)[1]) - _TOP_EXPONENT if self.largest else 0


def _select(read: ReadDelta, keep: int) -> _Selection:
    """Select the `keep` largest magnitudes by a radix selection, 16 bits in each pass."""
    if not keep:
        return _Selection(_ALL_BITS, 0, 0.0)
    prefix = largest = 0
    for shift in (48, 32, 16, 0):
        counts = np.zeros(_DIGITS, dtype=np.int64)
        for delta in read():
            magnitudes = np.abs(delta).view(np.uint64)
            largest = max(largest, int(magnitudes.max(initial=0)))
            if shift < _TOP_SHIFT:
                magnitudes = magnitudes[magnitudes >> np.uint64(shift + 16) == prefix]
            digits = (magnitudes >> np.uint64(shift)) & np.uint64(_DIGITS - 1)
            counts += np.bincount(digits.astype(np.int64), minlength=_DIGITS)
        reached = np.cumsum(counts[::-1])
        place = int(np.searchsorted(reached, keep))
        keep -= int(reached[place - 1]) if place else 0
        prefix = prefix << 16 | (_DIGITS - 1 - place)
    return _Selection(prefix, keep, float(np.uint64(largest).view(np.float64)))


class TopKDecoder(DeltaDecoder):
    """Decodes the sparse delta chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        super().__init__(spec)
        self._reader = reader
        self._exponent = setting(settings, "exponent", -EXPONENT_LIMIT, EXPONENT_LIMIT)
        self._counts = _checked(settings.get("counts"), self._spans, spec.name)
        kinds = [("g", GAP_BYTES), ("v", _VALUE_BYTES)]
        parts = {
            f"{number}{letter}{plane}"
            for number, count in enumerate(self._counts)
            if count
            for letter, planes in kinds
            for plane in range(planes)
        }
        reader.expect_parts(spec.name, parts)

    def _chunk_delta(self, chunk: int) -> Floats:
        start, stop = self._spans[chunk]
        dense = np.zeros(stop - start)
        if self._counts[chunk]:
            positions, values = self._entries(chunk)
            dense[positions] = values
        return dense

    def live_form(self) -> SparseEntries:
        """Return the kept entries, without values that rounded to zero."""
        return SparseEntries(self._all_entries)

    def _all_entries(self) -> tuple[npt.NDArray[np.int64], Floats]:
        all_positions, all_values = [np.zeros(0, dtype=np.int64)], [np.zeros(0)]
        for chunk, count in enumerate(self._counts):
            if count:
                positions, values = self._entries(chunk)
                used = values != 0
                all_positions.append(positions[used] + self._spans[chunk][0])
                all_values.append(values[used])
        return np.concatenate(all_positions), np.concatenate(all_values)

    def _entries(self, chunk: int) -> tuple[npt.NDArray[np.int64], Floats]:
        """Return the kept positions [count] within a chunk, and their values [count]."""
        start, stop = self._spans[chunk]
        gaps = self._planes(chunk, "g", GAP_BYTES)
        words = from_planes(self._planes(chunk, "v", _VALUE_BYTES))
        with np.errstate(over="ignore"):
            values = np.ldexp(to_float64(words, "F16"), self._exponent)
        if not np.isfinite(values).all():
            raise IntegrityError(f"`{self._spec.name}`: a kept value is NaN or Inf")
        return positions_from(gaps, stop - start, self._spec.name), values

    def _planes(self, chunk: int, letter: str, planes: int) -> list[Bytes]:
        size, stem = self._counts[chunk], f"{chunk}{letter}"
        return read_planes(self._reader, self._spec.name, stem, planes=planes, size=size)


def _checked(counts: Any, spans: list[tuple[int, int]], tensor: str) -> list[int]:
    read = whole_numbers(counts)
    if (
        read is None
        or len(read) != len(spans)
        or not all(
            0 <= count <= stop - start for count, (start, stop) in zip(read, spans, strict=True)
        )
    ):
        raise IntegrityError(f"`{tensor}`: the counts of kept values do not fit its shape")
    return read


CODEC = Codec(NAME, TopKDecoder)
