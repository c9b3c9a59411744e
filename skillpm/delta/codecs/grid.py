"""The `grid` codec: a dense grid with a dead zone, entropy-coded.

Δ̂ᵢⱼ = level(qᵢⱼ) · columnⱼ · rowᵢ, with small integers q, most of them zero at low rates. The levels
of small magnitudes are centroids; beyond them the grid goes on by one step. Rows (of an
embedding, say) and columns may have scales.

Bound: as the encoder measured; decoding is elementwise float64, one rounding per product.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs.coded import (
    Codes,
    Matrix,
    Sections,
    encode_matrix,
    flat_bits,
    join,
    matrix_bits,
)
from skillpm.delta.codecs.parts import decode_scales, encode_logs, fineness, put, sections_of
from skillpm.delta.codecs.scales import Logs, from_logs
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "grid"
LEVELS = 4
"""Magnitudes that have a centroid of their own."""


@dataclass(frozen=True)
class CodedGrid:
    """Integers [m, n]; the step and then the centroids of |q| = 1..LEVELS; scales' logarithms."""

    codes: Codes
    levels: Floats
    rows: Logs | None
    columns: Logs | None
    fine: int

    def bits(self) -> float:
        """About the bits that it takes, without encoding it."""
        logs = (each for each in (self.rows, self.columns) if each is not None)
        scales = sum(flat_bits(np.diff(each, prepend=np.int32(0))) for each in logs)
        return scales + matrix_bits(self.codes) + 8 * 4 * self.levels.size


def rows_of(spec: TensorSpec) -> tuple[int, int]:
    """A tensor as a matrix, a vector as one row."""
    if len(spec.shape) < 2:  # noqa: PLR2004 - a matrix has two
        return 1, spec.elements
    return spec.shape[0], prod(spec.shape[1:])


def serialise(coded: CodedGrid) -> tuple[dict[str, Any], bytes]:
    """The settings and the sections of a coded grid."""
    sections = [
        coded.levels.astype("<f4").tobytes(),
        encode_logs(coded.rows),
        encode_logs(coded.columns),
        encode_matrix(coded.codes),
    ]
    return {"fine": coded.fine}, join(sections)


def encode(spec: TensorSpec, coded: CodedGrid, writer: PayloadWriter) -> Record:
    """Write a tensor's grid."""
    settings, data = serialise(coded)
    return put(spec, Record(NAME, settings), data, writer)


def _valued(codes: Codes, levels: Floats) -> Floats:
    """level(q): a centroid, or the last one and so many steps; with the sign of q."""
    magnitude = np.abs(codes)
    inner = np.concatenate([np.zeros(1), levels[1:]])[np.minimum(magnitude, LEVELS)]
    beyond = np.maximum(magnitude - LEVELS, 0) * levels[0]
    return np.sign(codes) * (inner + beyond)


def values_of(codes: Codes, levels: Floats, rows: Floats | None, columns: Floats | None) -> Floats:
    """Level · column, then · row; one rounding each."""
    values = _valued(codes, levels)
    with np.errstate(over="ignore"):  # refused where it is added to the reference
        if columns is not None:
            values *= columns
        if rows is not None:
            values *= rows[:, None]
    return values


def delta_of(coded: CodedGrid) -> Floats:
    """What a decoder will give, [m, n]: for the encoder to measure."""
    scales = [
        None if each is None else from_logs(each, coded.fine)
        for each in (coded.rows, coded.columns)
    ]
    levels = coded.levels.astype("<f4").astype(np.float64)
    return values_of(coded.codes, levels, *scales)


class Grid:
    """A grid that was read, whose rows are decoded as they are asked for."""

    def __init__(self, spec: TensorSpec, settings: Mapping[str, Any], sections: Sections) -> None:
        what = f"`{spec.name}`"
        height, self._width = rows_of(spec)
        fine = fineness(settings)
        levels = sections.next()
        if len(levels) != 4 * (1 + LEVELS):
            raise IntegrityError(f"{what} should have {1 + LEVELS} levels")
        self._levels = np.frombuffer(levels, dtype="<f4").astype(np.float64)
        if not np.isfinite(self._levels).all():
            raise IntegrityError(f"{what} has a level that is not a number")
        self._rows = decode_scales(sections.next(), height, fine, what)
        self._columns = decode_scales(sections.next(), self._width, fine, what)
        self._codes = Matrix(sections.next(), height, self._width, what)
        sections.close()

    def flat(self, start: int, stop: int) -> Floats:
        """The entries from `start` to before `stop` of the flat delta."""
        first, last = start // self._width, -(-stop // self._width)
        pieces: list[Floats] = []
        row = first
        for codes in self._codes.rows(first, last):
            rows = None if self._rows is None else self._rows[row : row + len(codes)]
            pieces.append(values_of(codes, self._levels, rows, self._columns).reshape(-1))
            row += len(codes)
        offset = first * self._width
        return np.concatenate(pieces)[start - offset : stop - offset]


class Decoder:
    """Gives Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if not spec.elements:
            raise IntegrityError(f"`{spec.name}` is empty: it has no grid")
        self._spans = chunk_spans(spec)
        self._grid = Grid(spec, settings, sections_of(spec, reader))

    def delta(self, chunk: int) -> Floats:
        """The decoded delta of one chunk."""
        return self._grid.flat(*self._spans[chunk])
