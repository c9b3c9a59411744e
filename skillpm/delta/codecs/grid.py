"""The `grid` codec: a dense grid with a dead zone, entropy-coded.

Δ̂ᵢⱼ = level(qᵢⱼ) · columnⱼ · rowᵢ, with small integers q, most of them zero at low rates. The
levels of magnitudes up to `LEVELS` are centroids; larger ones are one step apart. Rows (of an
embedding, for example) and columns may have scales.

Error: measured by the encoder. Decoding is elementwise float64, with one rounding per product (law
3b).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from skillpm.delta.codecs.shared.boxes import Box, flat_of
from skillpm.delta.codecs.shared.classes import Narrow
from skillpm.delta.codecs.shared.coded import (
    Matrix,
    Sections,
    encode_matrix,
    join,
    narrow,
)
from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.estimate import matrix_bits, scale_bits
from skillpm.delta.codecs.shared.parts import (
    decode_scales,
    encode_logs,
    fineness,
    put,
    scales_of,
    sections_of,
)
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.shared.scales import Logs
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "grid"
LEVELS = 4
"""The magnitudes that have a centroid."""


@dataclass(frozen=True)
class CodedGrid:
    """Integers [m, n], levels [1 + LEVELS], and the logarithms of the scales of rows and columns.

    The levels are the step, then the centroids of |q| = 1..LEVELS. Logarithms have 2^fine steps per
    octave.
    """

    codes: Narrow
    levels: Floats
    rows: Logs | None
    columns: Logs | None
    fine: int

    def estimate(self) -> float:
        """Estimate the bytes of the part, without encoding it; levels are not counted."""
        return (matrix_bits(self.codes) + scale_bits(self.rows, self.columns)) / 8

    def decoded_delta(self) -> Floats:
        """Return the Δ̂ [m, n] that the decoder returns, bit for bit."""
        scales = (scales_of(logs, self.fine) for logs in (self.rows, self.columns))
        values = _Values.of(self.levels.astype("<f4").astype(np.float64), *scales)
        height, width = self.codes.shape
        whole = Box(slice(0, height), slice(0, width), 0, self.codes.size)
        return values.block(narrow(self.codes), whole)

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write the grid as the tensor's only part."""
        settings, data = serialise(self)
        return put(spec, Record(NAME, settings), data, writer)


def rows_of(spec: TensorSpec) -> tuple[int, int]:
    """Return the shape of a tensor as a matrix; a vector is one row."""
    if len(spec.shape) < 2:  # noqa: PLR2004 - a matrix has two
        return 1, spec.elements
    return spec.shape[0], prod(spec.shape[1:])


def serialise(coded: CodedGrid) -> tuple[dict[str, Any], bytes]:
    """Return the settings and the sections of a coded grid."""
    sections = [
        coded.levels.astype("<f4").tobytes(),
        encode_logs(coded.rows),
        encode_logs(coded.columns),
        encode_matrix(coded.codes),
    ]
    return {"fine": coded.fine}, join(sections)


def _formula(codes: Narrow, levels: Floats) -> Floats:
    """Return level(q) with the sign of q: a centroid, or the last centroid plus further steps."""
    magnitude = np.abs(codes.astype(np.float64))
    inner = np.concatenate([np.zeros(1), levels[1:]])[np.minimum(magnitude, LEVELS).astype(np.intp)]
    beyond = np.maximum(magnitude - LEVELS, 0.0) * levels[0]
    values: Floats = np.sign(codes) * (inner + beyond)
    return values


def _table(levels: Floats) -> Floats:
    """Return level(q) [256] of every int8 q, indexed by q as uint8."""
    return _formula(np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int32), levels)


@dataclass(frozen=True)
class _Values:
    """Maps integers to entries; the decoder and `decoded_delta` share it."""

    levels: Floats
    table: Floats
    rows: Floats | None
    columns: Floats | None

    @classmethod
    def of(cls, levels: Floats, rows: Floats | None, columns: Floats | None) -> "_Values":
        return cls(levels, _table(levels), rows, columns)

    def block(self, codes: Narrow, box: Box) -> Floats:
        """Return the entries of a box: level · column, then · row, each product rounded once."""
        small = codes.dtype == np.int8
        flat = self.table.take(codes.view(np.uint8)) if small else _formula(codes, self.levels)
        values: Floats = flat.reshape(box.shape)
        if self.columns is not None:
            values *= self.columns[box.columns]
        if self.rows is not None:
            values *= self.rows[box.rows, None]
        return values


class DecodedGrid:
    """A grid that was read and checked. `flat` decodes entries on demand."""

    def __init__(self, spec: TensorSpec, settings: Mapping[str, Any], sections: Sections) -> None:
        what = f"`{spec.name}`"
        height, self._width = rows_of(spec)
        fine = fineness(settings)
        levels = _read_levels(sections.next(), what)
        rows = decode_scales(sections.next(), height, fine, what)
        columns = decode_scales(sections.next(), self._width, fine, what)
        self._values = _Values.of(levels, rows, columns)
        self._codes = Matrix(sections.next(), height, self._width, what)
        sections.close()

    def flat(self, start: int, stop: int) -> Floats:
        """Decode the entries start..stop [n] of the flattened delta."""
        return flat_of(start, stop, self._width, self._block)

    def _block(self, box: Box) -> Floats:
        return self._values.block(self._codes.flat(box.start, box.stop), box)


def _read_levels(data: bytes, what: str) -> Floats:
    if len(data) != 4 * (1 + LEVELS):
        raise IntegrityError(f"{what} has {len(data)} bytes of levels, expected {4 * (1 + LEVELS)}")
    levels = np.frombuffer(data, dtype="<f4")
    if not np.isfinite(levels).all():
        raise IntegrityError(f"{what} has a level that is NaN or Inf")
    return levels.astype(np.float64)


class GridDecoder(DeltaDecoder):
    """Decodes Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if not spec.elements:
            raise IntegrityError(f"`{spec.name}` has no elements, so codec `grid` cannot encode it")
        super().__init__(spec)
        self._grid = DecodedGrid(spec, settings, sections_of(spec, reader))

    def _chunk_delta(self, chunk: int) -> Floats:
        return self._grid.flat(*self._spans[chunk])


CODEC = Codec(NAME, GridDecoder)
