"""The `svd-ec` codec: entropy-coded singular factors.

Δ [m, n] ≈ Σₖ cₖ aₖ bₖᵀ, where a [m, r] and b [n, r] are small integers and c [r] is one coefficient
per rank. The encoder's step decides the rank and the bits of each component; no scale or zero point
is stored for groups. Rows and columns may have scales.

Error: the encoder measures Δ - Δ̂ on `decoded_delta`, which the decoder reproduces bit for bit. a
and c·b are rounded onto power-of-two grids and multiplied exactly (law 3a); `products` bounds the
error of that rounding.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from skillpm.delta.codecs.shared.base import setting
from skillpm.delta.codecs.shared.classes import Codes, Narrow
from skillpm.delta.codecs.shared.coded import Matrix, Sections, encode_matrix, join
from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.estimate import matrix_bits, scale_bits
from skillpm.delta.codecs.shared.forms import IntegerFactors
from skillpm.delta.codecs.shared.parts import (
    decode_scales,
    encode_logs,
    fineness,
    put,
    scales_of,
    sections_of,
)
from skillpm.delta.codecs.shared.products import EXPONENT_LIMIT, Product, fit_tops, place, tops_of
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.shared.scales import Logs
from skillpm.delta.codecs.svd import matrix_shape
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "svd-ec"
_BLOCK = 1 << 20
"""Entries that are converted to float64 at once."""


@dataclass(frozen=True)
class CodedFactors:
    """Integers `left` [m, r] and `right` [n, r], and logarithms of scales, 2^fine steps per octave.

    There are scales of ranks [r], and optionally of rows [m] and of columns [n].
    """

    left: Codes
    right: Codes
    ranks: Logs
    rows: Logs | None
    columns: Logs | None
    fine: int

    def estimate(self) -> float:
        """Estimate the bytes of the part, without encoding it."""
        codes = matrix_bits(self.left) + matrix_bits(self.right)
        return (codes + scale_bits(self.rows, self.columns, self.ranks)) / 8

    def decoded_delta(self) -> Floats:
        """Return the Δ̂ [m, n] that the decoder returns, bit for bit. Costs O(m·n·r)."""
        shape = self.left.shape[0], self.right.shape[0]
        product = _scaled(self).product(exponents_of(self), "the tensor")
        return product.flat(0, shape[0] * shape[1]).reshape(shape)

    def scaled_factors(self) -> tuple[Floats, Floats]:
        """Return both factors, [m, r] and [r, n], with their scales, before they are placed."""
        scaled = _scaled(self)
        return scaled.lefts(slice(None)), scaled.rights()

    def write(self, spec: TensorSpec, writer: PayloadWriter) -> Record:
        """Write the factors as the tensor's only part."""
        settings, data = serialise(self)
        return put(spec, Record(NAME, settings), data, writer)


def serialise(coded: CodedFactors) -> tuple[dict[str, Any], bytes]:
    """Return the settings and the sections of coded factors."""
    exponents = exponents_of(coded)
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


def exponents_of(coded: CodedFactors) -> tuple[int, int]:
    """Return the exponents of the grids onto which both factors are rounded."""
    scaled = _scaled(coded)
    return fit_tops(scaled.tops(), tops_of(scaled.rights()))


def _scaled(coded: CodedFactors) -> "ScaledFactors":
    logs = (coded.ranks, coded.rows, coded.columns)
    return ScaledFactors(coded.left, coded.right, *(scales_of(scale, coded.fine) for scale in logs))


@dataclass(frozen=True)
class ScaledFactors:
    """Integers [m, r] and [n, r], and the scales of ranks, rows and columns."""

    left: Narrow
    right: Narrow
    ranks: Floats | None
    rows: Floats | None
    columns: Floats | None

    def lefts(self, rows: slice) -> Floats:
        """Return rows [count, r] of left · row scale."""
        left = self.left[rows].astype(np.float64)
        if self.rows is not None:
            left *= self.rows[rows, None]
        return left

    def rights(self) -> Floats:
        """Return right · rank scale · column scale, as [r, n]."""
        right = self.right.T.astype(np.float64, order="C")
        if self.ranks is not None:
            right *= self.ranks[:, None]
        if self.columns is not None:
            right *= self.columns
        return right

    def tops(self) -> Floats:
        """Return the largest |left · row scale| of each rank [r], a block of rows at a time."""
        height, rank = self.left.shape
        tops = np.zeros(rank)
        step = max(1, _BLOCK // rank)
        for first in range(0, height, step):
            left = self.lefts(slice(first, min(first + step, height)))
            np.maximum(tops, tops_of(left.T), out=tops)
        return tops

    def product(self, exponents: tuple[int, int], tensor: str) -> Product:
        """Return the product of both factors. Raises `IntegrityError` if it would not be exact."""
        tops = place(self.tops(), exponents[0])
        lefts = partial(_placed, self.lefts, exponents[0])
        return Product.of_rows(lefts, tops, self.rights(), exponents, tensor)


def _placed(lefts: Callable[[slice], Floats], exponent: int, rows: slice) -> Floats:
    return place(lefts(rows), exponent)


def product_of(spec: TensorSpec, settings: Mapping[str, Any], sections: Sections) -> Product:
    """Return the product of the factors that `serialise` wrote. Raises `IntegrityError`."""
    return read(spec, settings, sections)[1]


def read(
    spec: TensorSpec, settings: Mapping[str, Any], sections: Sections
) -> tuple[ScaledFactors, Product]:
    """Read the factors that `serialise` wrote, and their product. Raises `IntegrityError`."""
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
    scaled = ScaledFactors(left, right, *scales)
    return scaled, scaled.product(exponents, spec.name)


class SvdEcDecoder(DeltaDecoder):
    """Decodes Δ̂ chunk by chunk.

    Memory: the integers of both factors, mostly a byte each, and the right factor as float64.
    """

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) < 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(
                f"`{spec.name}` is not a matrix, so codec `svd-ec` cannot encode it"
            )
        super().__init__(spec)
        self._scaled, self._product = read(spec, settings, sections_of(spec, reader))

    def _chunk_delta(self, chunk: int) -> Floats:
        return self._product.flat(*self._spans[chunk])

    def live_form(self) -> IntegerFactors:
        """Return the integers and their scales, as stored."""
        scaled = self._scaled
        scales = scaled.ranks, scaled.rows, scaled.columns
        return IntegerFactors(scaled.left, scaled.right, *scales)


CODEC = Codec(NAME, SvdEcDecoder)
