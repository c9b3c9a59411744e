"""The `sign` codec: one bit for each entry, times a scale per row and, may be, per column.

Δ̂ᵢⱼ = ±columnⱼ · rowᵢ. It is what wins where spectra are flat and all entries are about as large
(BitDelta, arXiv 2402.10193, has one scale for a whole matrix). Bound: as the encoder measured.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs.boxes import Box, flat_of
from skillpm.delta.codecs.coded import join
from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.codecs.parts import (
    decode_scales,
    encode_logs,
    fineness,
    logs_bits,
    put,
    scales_of,
    sections_of,
)
from skillpm.delta.codecs.scales import Logs, from_logs
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "sign"
_SIGNS = np.array([1.0, -1.0])


@dataclass(frozen=True)
class CodedSigns:
    """Whether each entry [m, n] is negative; logarithms of the scales of rows and columns."""

    negative: npt.NDArray[np.bool_]
    rows: Logs
    columns: Logs | None
    fine: int

    def bits(self) -> float:
        """About the bits that it takes, without encoding it."""
        return logs_bits(self.rows, self.columns) + self.negative.size


def _values(negative: npt.NDArray[np.bool_], rows: Floats, columns: Floats | None) -> Floats:
    values = _SIGNS.take(negative.view(np.uint8))
    if columns is not None:
        values *= columns
    values *= rows[:, None]
    return values


def delta_of(coded: CodedSigns) -> Floats:
    """What a decoder will give, [m, n]."""
    rows = from_logs(coded.rows, coded.fine)
    return _values(coded.negative, rows, scales_of(coded.columns, coded.fine))


def encode(spec: TensorSpec, coded: CodedSigns, writer: PayloadWriter) -> Record:
    """Write a tensor's signs."""
    bits = np.packbits(coded.negative).tobytes()
    data = join([encode_logs(coded.rows), encode_logs(coded.columns), bits])
    return put(spec, Record(NAME, {"fine": coded.fine}), data, writer)


class Decoder:
    """Gives Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if not spec.elements:
            raise IntegrityError(f"`{spec.name}` is empty: it has no signs")
        what = f"`{spec.name}`"
        height, self._width = rows_of(spec)
        fine = fineness(settings)
        sections = sections_of(spec, reader)
        rows = decode_scales(sections.next(), height, fine, what)
        self._columns = decode_scales(sections.next(), self._width, fine, what)
        bits = sections.next()
        sections.close()
        if rows is None or len(bits) != -(-spec.elements // 8):
            raise IntegrityError(f"{what} does not have a sign for each entry")
        self._rows = rows
        self._bits = np.frombuffer(bits, dtype=np.uint8)
        self._spans = chunk_spans(spec)

    def delta(self, chunk: int) -> Floats:
        """The decoded delta of one chunk."""
        return flat_of(*self._spans[chunk], self._width, self._block)

    def _block(self, box: Box) -> Floats:
        byte = box.start // 8
        unpacked = np.unpackbits(self._bits[byte : -(-box.stop // 8)])
        negative = unpacked[box.start - 8 * byte : box.stop - 8 * byte].view(np.bool_)
        columns = None if self._columns is None else self._columns[box.columns]
        return _values(negative.reshape(box.shape), self._rows[box.rows], columns)
