"""The `svd-ec` codec: entropy-coded singular factors.

Δ [m, n] ≈ Σₖ cₖ aₖ bₖᵀ, where a [m, r] and b [n, r] are small integers and c is one coefficient
per rank. How many ranks there are, and how many bits each takes, falls out of the steps that the
encoder rounded with: no bits are chosen, and no scale or zero point is stored for a group. Rows
and columns may have scales of their own, a power of two to some fraction.

Bound: |Δ - Δ̂| is what the encoder measured; decoding adds less than 2⁻¹⁸ of the largest entry,
since a and c·b are laid on power-of-two grids before they are multiplied exactly (law 3a).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs.base import setting
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
from skillpm.delta.codecs.products import EXPONENT_LIMIT, Product, fit_exponents
from skillpm.delta.codecs.scales import Logs, from_logs
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "svd-ec"


@dataclass(frozen=True)
class CodedFactors:
    """Integers `left` [m, r] and `right` [n, r]; logarithms of the scales of ranks [r], of rows
    [m] and of columns [n], in steps of 2^-fine octaves.
    """

    left: Codes
    right: Codes
    ranks: Logs
    rows: Logs | None
    columns: Logs | None
    fine: int

    def bits(self) -> float:
        """About the bits that it takes, without encoding it."""
        logs = (each for each in (self.ranks, self.rows, self.columns) if each is not None)
        scales = sum(flat_bits(np.diff(each, prepend=np.int32(0))) for each in logs)
        return scales + matrix_bits(self.left) + matrix_bits(self.right)


def serialise(coded: CodedFactors) -> tuple[dict[str, Any], bytes]:
    """The settings and the sections of coded factors."""
    exponents = fit_exponents(*_scaled(coded))
    settings = {
        "rank": coded.ranks.size,
        "fine": coded.fine,
        "left": exponents[0],
        "right": exponents[1],
    }
    sections = [
        encode_logs(coded.ranks),
        encode_logs(coded.rows),
        encode_logs(coded.columns),
        encode_matrix(coded.left),
        encode_matrix(coded.right),
    ]
    return settings, join(sections)


def encode(spec: TensorSpec, coded: CodedFactors, writer: PayloadWriter) -> Record:
    """Write a tensor's factors."""
    settings, data = serialise(coded)
    return put(spec, Record(NAME, settings), data, writer)


def _scaled(coded: CodedFactors) -> tuple[Floats, Floats]:
    logs = (coded.ranks, coded.rows, coded.columns)
    scales = [None if each is None else from_logs(each, coded.fine) for each in logs]
    return _fold(coded.left, coded.right, scales)


def _fold(left: Codes, right: Codes, scales: list[Floats | None]) -> tuple[Floats, Floats]:
    """leftᵀ [r, m] with the scales of rows, rightᵀ [r, n] with those of ranks, then of columns."""
    ranks, rows, columns = scales
    one, two = left.T.astype(np.float64), right.T.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):  # refused by `Product.of`
        if rows is not None:
            one *= rows
        if ranks is not None:
            two *= ranks[:, None]
        if columns is not None:
            two *= columns
    return one, two


def product_of(spec: TensorSpec, settings: Mapping[str, Any], sections: Sections) -> Product:
    """What `serialise` wrote, checked. Raises `IntegrityError`."""
    what = f"`{spec.name}`"
    height, width = matrix_shape(spec)
    rank = setting(settings, "rank", 1, min(height, width))
    fine = fineness(settings)
    limits = (-EXPONENT_LIMIT, EXPONENT_LIMIT)
    exponents = (setting(settings, "left", *limits), setting(settings, "right", *limits))
    counts = (rank, height, width)
    scales = [decode_scales(sections.next(), count, fine, what) for count in counts]
    left = Matrix(sections.next(), height, rank, what).whole()
    right = Matrix(sections.next(), width, rank, what).whole()
    sections.close()
    return Product.of(*_fold(left, right, scales), exponents, spec.name)


def delta_of(spec: TensorSpec, coded: CodedFactors) -> Floats:
    """What a decoder will give, flat: of the whole tensor, for the encoder to measure."""
    scaled = _scaled(coded)
    return Product.of(*scaled, fit_exponents(*scaled), spec.name).flat(0, spec.elements)


class Decoder:
    """Gives Δ̂ chunk by chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) < 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(f"`{spec.name}` is no matrix: it has no singular factors")
        self._spans = chunk_spans(spec)
        self._product = product_of(spec, settings, sections_of(spec, reader))

    def delta(self, chunk: int) -> Floats:
        """The decoded delta of one chunk."""
        return self._product.flat(*self._spans[chunk])
