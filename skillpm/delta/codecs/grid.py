"""The `grid` codec: a dense grid with a dead zone, entropy-coded.

Δ̂ᵢⱼ = level(qᵢⱼ) · columnⱼ · rowᵢ, with small integers q, most of them zero at low rates. The
levels of magnitudes up to `LEVELS` are centroids; larger ones are one step apart. Rows (of an
embedding, for example) and columns may have scales. `grid_contexts` codes the integers.

Error: measured by the encoder. Decoding is elementwise float64, with one rounding per product (law
3b).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, TypeGuard

import numpy as np

from skillpm.delta.codecs.grid_contexts import GridCodes, encode_codes
from skillpm.delta.codecs.shared.boxes import Box, flat_of
from skillpm.delta.codecs.shared.classes import Codes, Narrow
from skillpm.delta.codecs.shared.coded import Sections, join, narrow
from skillpm.delta.codecs.shared.delta_decoder import ReferenceDecoder
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
from skillpm.delta.coding.integers import Folded, unfold
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.kernels import grid as kernels
from skillpm.delta.kernels.choice import compiled
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Bytes, Words, chunk_spans
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "grid"
LEVELS = 4
"""The magnitudes that have a centroid."""
_PIECE = 1 << 16
_NO_SCALES = np.zeros(0)
_CODE_OF_FOLDED = unfold(np.arange(256, dtype=np.uint32)).astype(np.int8).view(np.uint8)
"""The integer that each folded integer stands for, as an int8 seen as uint8."""


@dataclass(frozen=True)
class CodedGrid:
    """Integers [m, n], levels [1 + LEVELS], and the logarithms of the scales of rows and columns.

    The levels are the step, then the centroids of |q| = 1..LEVELS. Logarithms have 2^fine steps per
    octave. `exponents` [m · n] are those of the reference; without them, the integers are coded
    under contexts of rows and columns alone.
    """

    codes: Narrow
    levels: Floats
    rows: Logs | None
    columns: Logs | None
    fine: int
    exponents: Bytes | None = None

    def estimate(self) -> float:
        """Estimate the bytes of the part, without encoding it; levels are not counted."""
        bits = matrix_bits(self.codes, self.exponents)
        return (bits + scale_bits(self.rows, self.columns)) / 8

    def decoded_delta(self) -> Floats:
        """Return the Δ̂ [m, n] that the decoder returns, bit for bit."""
        scales = (scales_of(logs, self.fine) for logs in (self.rows, self.columns))
        values = _Values.of(self.levels.astype("<f4").astype(np.float64), *scales)
        height, width = self.codes.shape
        whole = Box(slice(0, height), slice(0, width), 0, self.codes.size)
        return values.block(narrow(self.codes), whole)

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write the grid as the tensor's only part."""
        settings, data = serialise(self, spec)
        return put(spec, Record(NAME, settings), data, writer)


def rows_of(spec: TensorSpec) -> tuple[int, int]:
    """Return the shape of a tensor as a matrix; a vector is one row."""
    if len(spec.shape) < 2:  # noqa: PLR2004 - a matrix has two
        return 1, spec.elements
    return spec.shape[0], prod(spec.shape[1:])


def serialise(coded: CodedGrid, spec: TensorSpec) -> tuple[dict[str, Any], bytes]:
    """Return the settings and the sections of a coded grid."""
    sections = [
        coded.levels.astype("<f4").tobytes(),
        encode_logs(coded.rows),
        encode_logs(coded.columns),
        encode_codes(coded.codes, coded.exponents, spec),
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
    """Maps integers to entries; the decoder and `decoded_delta` share it.

    `table` [256] is indexed by an int8 as uint8, `by_folded` [256] by a folded integer.
    """

    levels: Floats
    table: Floats
    by_folded: Floats
    rows: Floats | None
    columns: Floats | None

    @classmethod
    def of(cls, levels: Floats, rows: Floats | None, columns: Floats | None) -> "_Values":
        table = _table(levels)
        return cls(levels, table, table[_CODE_OF_FOLDED], rows, columns)

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
    """A grid that was read and checked. `chunk` decodes entries on demand."""

    def __init__(self, spec: TensorSpec, settings: Mapping[str, Any], sections: Sections) -> None:
        what = f"`{spec.name}`"
        height, self._width = rows_of(spec)
        fine = fineness(settings)
        levels = _read_levels(sections.next(), what)
        rows = decode_scales(sections.next(), height, fine, what)
        columns = decode_scales(sections.next(), self._width, fine, what)
        self._values = _Values.of(levels, rows, columns)
        self._codes = GridCodes(sections.next(), spec, (height, self._width))
        self._spans = chunk_spans(spec)
        sections.close()

    @property
    def needs_reference(self) -> bool:
        """Whether the reference is needed to decode."""
        return self._codes.need_reference

    def chunk(self, number: int, reference: Words | None) -> Floats:
        """Decode the entries [n] of a chunk, from the reference's words [n] if they are needed."""
        start, stop = self._spans[number]
        folded = self._codes.folded(number, reference)
        if not _is_compiled(folded):
            return self._flat(unfold(folded), start)
        flat = np.empty(stop - start)
        self._fill(folded, start, flat)
        return flat

    def pieces(self, number: int, reference: Words | None) -> Iterator[tuple[int, Floats]]:
        """Yield `chunk` in pieces that fit a core's cache: the position in the chunk, the entries.

        The next piece overwrites the entries.
        """
        start, stop = self._spans[number]
        folded = self._codes.folded(number, reference)
        if not _is_compiled(folded):
            yield 0, self._flat(unfold(folded), start)
            return
        room = np.empty(min(_PIECE, stop - start))
        for at in range(0, stop - start, _PIECE):
            piece = folded[at : at + _PIECE]
            self._fill(piece, start + at, room[: piece.size])
            yield at, room[: piece.size]

    def _flat(self, codes: Codes, start: int) -> Floats:
        small = narrow(codes)

        def block(box: Box) -> Floats:
            return self._values.block(small[box.start - start : box.stop - start], box)

        return flat_of(start, start + codes.size, self._width, block)

    def _fill(self, folded: Bytes, start: int, out: Floats) -> None:
        values = self._values
        rows, columns = (
            _NO_SCALES if scales is None else scales for scales in (values.rows, values.columns)
        )
        kernels.entries(folded, values.by_folded, rows, columns, start, self._width, out)


def _is_compiled(folded: Folded | Bytes) -> TypeGuard[Bytes]:
    """Whether a kernel maps these integers to entries."""
    return folded.dtype == np.uint8 and compiled(folded.size)


def _read_levels(data: bytes, what: str) -> Floats:
    if len(data) != 4 * (1 + LEVELS):
        raise IntegrityError(f"{what} has {len(data)} bytes of levels, expected {4 * (1 + LEVELS)}")
    levels = np.frombuffer(data, dtype="<f4")
    if not np.isfinite(levels).all():
        raise IntegrityError(f"{what} has a level that is NaN or Inf")
    return levels.astype(np.float64)


class GridDecoder(ReferenceDecoder):
    """Decodes Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if not spec.elements:
            raise IntegrityError(f"`{spec.name}` has no elements, so codec `grid` cannot encode it")
        super().__init__(spec)
        self._grid = DecodedGrid(spec, settings, sections_of(spec, reader))

    @property
    def _needs_reference(self) -> bool:
        return self._grid.needs_reference

    def _delta(self, chunk: int, reference: Words | None) -> Floats:
        return self._grid.chunk(chunk, reference)

    def _pieces(self, chunk: int, reference: Words) -> Iterator[tuple[int, Floats]]:
        return self._grid.pieces(chunk, reference)


CODEC = Codec(NAME, GridDecoder)
