"""The `topk` codec: magnitude pruning.

GraftLLM (arXiv 2505.18502), section 3.2: embeddings and head. The largest deltas of the whole
tensor are kept, each as a float16 times one power of two that the record stores; all others are
zero. Every decoded value is exact in float64.
"""

from collections.abc import Mapping
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


def encode(spec: TensorSpec, delta: Floats, keep: int, writer: PayloadWriter) -> Record:
    """Write the `keep` largest magnitudes of a flat delta [n]; of equal ones, the first."""
    order = np.argsort(-np.abs(delta), kind="stable")[:keep]
    kept = np.sort(order[delta[order] != 0.0])
    largest = float(np.max(np.abs(delta[kept]), initial=0.0))
    exponent = int(np.frexp(largest)[1]) - _TOP_EXPONENT if largest else 0
    counts: list[int] = []
    for number, (start, stop) in enumerate(chunk_spans(spec)):
        first, last = np.searchsorted(kept, [start, stop])
        positions = kept[first:last]
        counts.append(int(positions.size))
        if positions.size:
            scaled = np.ldexp(delta[positions], -exponent)
            words, _ = from_float64(scaled, "F16")
            put_planes(writer, spec.name, f"{number}g", gap_planes(positions - start))
            put_planes(writer, spec.name, f"{number}v", planes_of(words))
    record = Record(NAME, {"counts": counts, "exponent": exponent})
    writer.describe(spec.name, record)
    return record


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
