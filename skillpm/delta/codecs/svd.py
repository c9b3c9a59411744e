"""The `svd` codec: singular factors in column groups of mixed precision.

GraftLLM (arXiv 2505.18502), section 3.2. Δ [m, n] ≈ U Σ Vᵀ at rank r. The columns of U [m, r] and V
[n, r] are quantised in groups by descending singular value (`8/3/2`: the first few at 8 bits, more
at 3, the rest at 2).

Decoding is exact on every machine (law 3a). A = U·Σ and B = V are dequantised, then rounded onto
power-of-two grids, whose exponents the record stores, so that both are integers with Σₖ
max|A·ₖ|·max|B·ₖ| ≤ 2⁵³. Their product is then exact in any order of additions, and is scaled by a
power of two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.codecs.shared.base import setting, whole_numbers
from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.forms import FloatFactors
from skillpm.delta.codecs.shared.products import EXPONENT_LIMIT, Product, fit_tops, tops_of
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.shared.quantise import (
    BATCH,
    Quantised,
    dequantise,
    group_count,
    pack_bits,
    packed_bytes,
    quantise,
    unpack_bits,
)
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "svd"
_GROUP_LIMIT = 1 << 16
_BITS = frozenset(range(2, 9))


@dataclass(frozen=True)
class SingularFactors:
    """Δ ≈ left [m, r] · diag(sigma [r]) · right [r, n], sigma descending."""

    left: Floats
    sigma: Floats
    right: Floats


@dataclass(frozen=True)
class Columns:
    """A column group: its precision in bits, and its number of columns."""

    bits: int
    count: int


def matrix_shape(spec: TensorSpec) -> tuple[int, int]:
    """Return the shape of a tensor as a matrix: its first dimension by the product of the rest."""
    return spec.shape[0], prod(spec.shape[1:])


@dataclass(frozen=True)
class ColumnGroup:
    """A quantised column group: blocks [count, m] of U's columns and [count, n] of V's."""

    columns: Columns
    left: Quantised
    right: Quantised


def encode(
    spec: TensorSpec,
    factors: SingularFactors,
    columns: list[Columns],
    *,
    group: int,
    writer: PayloadWriter,
) -> Record:
    """Quantise and write the factors. The rank is the sum of all groups' columns."""
    groups: list[ColumnGroup] = []
    start = 0
    for part in columns:
        span = slice(start, start + part.count)
        left, right = (
            quantise(rows[span], part.bits, group) for rows in (factors.left.T, factors.right)
        )
        groups.append(ColumnGroup(part, left, right))
        start += part.count
    return write(spec, factors.sigma, groups, group=group, writer=writer)


def write(
    spec: TensorSpec, sigma: Floats, groups: list[ColumnGroup], *, group: int, writer: PayloadWriter
) -> Record:
    """Write factors that are already quantised, and return the record."""
    narrow = sigma.astype("<f4")
    writer.put(spec.name, "sigma", narrow.tobytes())
    left = _write_side(
        spec.name, "u", [(block.columns, block.left) for block in groups], group, writer
    )
    right = _write_side(
        spec.name, "v", [(block.columns, block.right) for block in groups], group, writer
    )
    exponents = fit_tops(left * narrow.astype(np.float64), right)
    record = Record(
        NAME,
        {
            "columns": [[block.columns.bits, block.columns.count] for block in groups],
            "group": group,
            "left": exponents[0],
            "right": exponents[1],
        },
    )
    writer.describe(spec.name, record)
    return record


def _write_side(
    tensor: str,
    side: str,
    blocks: list[tuple[Columns, Quantised]],
    group: int,
    writer: PayloadWriter,
) -> Floats:
    """Write the blocks of one factor; return the largest magnitude in each column [r].

    The magnitudes are those of the values that the decoder will read.
    """
    for number, (part, block) in enumerate(blocks):
        writer.put(tensor, f"{side}{number}q", pack_bits(block.codes, part.bits))
        writer.put(tensor, f"{side}{number}s", block.scales.astype("<f2").tobytes())
        writer.put(tensor, f"{side}{number}z", block.zeros.tobytes())
    return np.concatenate([_tops(block, group) for _, block in blocks])


def _tops(block: Quantised, group: int) -> Floats:
    starts = range(0, block.codes.shape[0], BATCH)
    parts = (block.columns(slice(start, start + BATCH)) for start in starts)
    return np.concatenate([tops_of(dequantise(part, group)) for part in parts])


class SvdDecoder(DeltaDecoder):
    """Decodes Δ̂ chunk by chunk; multiplies only the rows of the chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) < 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(f"`{spec.name}` is not a matrix, so codec `svd` cannot encode it")
        super().__init__(spec)
        height, width = matrix_shape(spec)
        columns = _columns(settings.get("columns"), min(height, width), spec.name)
        group = setting(settings, "group", 1, _GROUP_LIMIT)
        limits = (-EXPONENT_LIMIT, EXPONENT_LIMIT)
        exponents = (setting(settings, "left", *limits), setting(settings, "right", *limits))
        kinds = [f"{side}{n}{kind}" for side in "uv" for n in range(len(columns)) for kind in "qsz"]
        reader.expect_parts(spec.name, {"sigma", *kinds})
        rank = sum(part.count for part in columns)
        sigma = np.frombuffer(reader.part(spec.name, "sigma", 4 * rank), dtype="<f4")
        left = _decode_side(reader, (spec.name, "u", height), columns, group)
        right = _decode_side(reader, (spec.name, "v", width), columns, group)
        with np.errstate(invalid="ignore"):  # `Product.of` raises for it
            left *= sigma.astype(np.float64)[:, None]
        self._product = Product.of(left, right, exponents, spec.name)

    def _chunk_delta(self, chunk: int) -> Floats:
        return self._product.flat(*self._spans[chunk])

    def live_form(self) -> FloatFactors:
        """Return both factors, integer-valued on their grids, without a copy."""
        product = self._product
        return FloatFactors(product.left(slice(None)), product.right, product.exponent)


def _columns(value: Any, rank_limit: int, tensor: str) -> list[Columns]:
    pairs = [whole_numbers(pair) for pair in value] if type(value) is list else []
    fits = all(pair is not None and len(pair) == 2 for pair in pairs)  # noqa: PLR2004
    columns = [Columns(*pair) for pair in pairs if pair] if fits else []
    valid = all(group.bits in _BITS and group.count > 0 for group in columns)
    if not (columns and valid and sum(group.count for group in columns) <= rank_limit):
        raise IntegrityError(f"`{tensor}`: the column groups of codec `svd` do not fit its shape")
    return columns


def _decode_side(
    reader: PayloadReader, which: tuple[str, str, int], columns: list[Columns], group: int
) -> Floats:
    tensor, side, length = which
    groups = group_count(length, group)
    blocks: list[Floats] = []
    for number, part in enumerate(columns):
        name = f"{side}{number}"
        codes, scales = part.count * length, part.count * groups
        packed = reader.part(tensor, f"{name}q", packed_bytes(codes, part.bits))
        quantised = Quantised(
            unpack_bits(packed, codes, part.bits).reshape(part.count, length),
            _array(reader.part(tensor, f"{name}s", 2 * scales), "<f2", (part.count, groups)),
            _array(reader.part(tensor, f"{name}z", scales), "u1", (part.count, groups)),
        )
        blocks.append(dequantise(quantised, group))
    return np.concatenate(blocks)


def _array(data: bytes, dtype: str, shape: tuple[int, int]) -> npt.NDArray[Any]:
    return np.frombuffer(data, dtype=dtype).reshape(shape)


CODEC = Codec(NAME, SvdDecoder)
