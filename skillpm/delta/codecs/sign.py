"""The `sign` codec: one bit per entry, times a scale per row and optionally per column.

Δ̂ᵢⱼ = ±columnⱼ · rowᵢ. The best codec for a flat spectrum with entries of similar size. BitDelta
(arXiv 2402.10193) has one scale for a whole matrix. Error: measured by the encoder.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.grid import rows_of
from skillpm.delta.codecs.shared.boxes import Box, flat_of
from skillpm.delta.codecs.shared.coded import join
from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.estimate import scale_bits
from skillpm.delta.codecs.shared.parts import (
    decode_scales,
    encode_logs,
    fineness,
    put,
    scales_of,
    sections_of,
)
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.shared.scales import Logs, from_logs
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
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

    def estimate(self) -> float:
        """Estimate the bytes of the part, without encoding it."""
        return (float(self.negative.size) + scale_bits(self.rows, self.columns)) / 8

    def decoded_delta(self) -> Floats:
        """Return the Δ̂ [m, n] that the decoder returns, bit for bit."""
        rows = from_logs(self.rows, self.fine)
        return _values(self.negative, rows, scales_of(self.columns, self.fine))

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write signs and scales as the tensor's only part."""
        bits = np.packbits(self.negative).tobytes()
        data = join([encode_logs(self.rows), encode_logs(self.columns), bits])
        return put(spec, Record(NAME, {"fine": self.fine}), data, writer)


def _values(negative: npt.NDArray[np.bool_], rows: Floats, columns: Floats | None) -> Floats:
    values = _SIGNS.take(negative.view(np.uint8))
    if columns is not None:
        values *= columns
    values *= rows[:, None]
    return values


class SignDecoder(DeltaDecoder):
    """Decodes Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if not spec.elements:
            raise IntegrityError(f"`{spec.name}` has no elements, so codec `sign` cannot encode it")
        super().__init__(spec)
        what = f"`{spec.name}`"
        height, self._width = rows_of(spec)
        fine = fineness(settings)
        sections = sections_of(spec, reader)
        rows = decode_scales(sections.next(), height, fine, what)
        self._columns = decode_scales(sections.next(), self._width, fine, what)
        bits = sections.next()
        sections.close()
        if rows is None or len(bits) != -(-spec.elements // 8):
            raise IntegrityError(f"{what} does not have one sign per entry and one scale per row")
        self._rows = rows
        self._bits = np.frombuffer(bits, dtype=np.uint8)

    def _chunk_delta(self, chunk: int) -> Floats:
        return flat_of(*self._spans[chunk], self._width, self._block)

    def _block(self, box: Box) -> Floats:
        byte = box.start // 8
        unpacked = np.unpackbits(self._bits[byte : -(-box.stop // 8)])
        negative = unpacked[box.start - 8 * byte : box.stop - 8 * byte].view(np.bool_)
        columns = None if self._columns is None else self._columns[box.columns]
        return _values(negative.reshape(box.shape), self._rows[box.rows], columns)


CODEC = Codec(NAME, SignDecoder)
