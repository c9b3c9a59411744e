"""The `svd` codec: singular factors in column groups of mixed precision (GraftLLM, section 3.2).

Δ [m, n] ≈ U Σ Vᵀ at rank r. The columns of U [m, r] and V [n, r] are quantised in groups by
descending singular value (`8/3/2`: the first few at 8 bits, more at 3, the rest at 2).

The decode is exact on every machine (law 3a): A = U·Σ and B = V are dequantised, then rounded
onto power-of-two grids, whose exponents the record stores, so that both are integers with
Σₖ max|A·ₖ|·max|B·ₖ| ≤ 2⁵³. Their product is then exact in whatever order a library adds, and is
scaled by a power of two.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt

from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs.base import setting
from skillpm.delta.codecs.quantise import (
    Quantised,
    dequantise,
    group_count,
    pack_bits,
    packed_bytes,
    quantise,
    unpack_bits,
)
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

NAME = "svd"
EXACT = 1 << 53
GRID_BITS = 24
_GROUP_LIMIT = 1 << 16
_EXPONENT_LIMIT = 1000
_BITS = frozenset(range(2, 9))


@dataclass(frozen=True)
class Factors:
    """Δ ≈ left [m, r] · diag(sigma [r]) · right [r, n], sigma descending."""

    left: Floats
    sigma: Floats
    right: Floats


@dataclass(frozen=True)
class Columns:
    """A column group: its precision in bits, and how many columns it has."""

    bits: int
    count: int


def matrix_shape(spec: TensorSpec) -> tuple[int, int]:
    """A tensor as a matrix: its first dimension by all others."""
    return spec.shape[0], prod(spec.shape[1:])


def encode(
    spec: TensorSpec,
    factors: Factors,
    columns: list[Columns],
    *,
    group: int,
    writer: PayloadWriter,
) -> Record:
    """Quantise and write the factors; the columns of all groups together are the rank."""
    sigma = factors.sigma.astype("<f4")
    writer.put(spec.name, "sigma", sigma.tobytes())
    left = _encode_side(spec.name, "u", factors.left.T, (columns, group, writer))
    right = _encode_side(spec.name, "v", factors.right, (columns, group, writer))
    left *= sigma.astype(np.float64)[:, None]
    exponents = _grid(left, right)
    record = Record(
        NAME,
        {
            "columns": [[c.bits, c.count] for c in columns],
            "group": group,
            "left": exponents[0],
            "right": exponents[1],
        },
    )
    writer.describe(spec.name, record)
    return record


def _encode_side(
    tensor: str, side: str, rows: Floats, how: tuple[list[Columns], int, PayloadWriter]
) -> Floats:
    """Quantise one factor, given as [r, length]; return what the decoder will see."""
    columns, group, writer = how
    seen = np.empty_like(rows, dtype=np.float64)
    start = 0
    for number, part in enumerate(columns):
        stop = start + part.count
        quantised = quantise(rows[start:stop].astype(np.float64), part.bits, group)
        writer.put(tensor, f"{side}{number}q", pack_bits(quantised.codes, part.bits))
        writer.put(tensor, f"{side}{number}s", quantised.scales.astype("<f2").tobytes())
        writer.put(tensor, f"{side}{number}z", quantised.zeros.tobytes())
        seen[start:stop] = dequantise(quantised, group)
        start = stop
    return seen


def _grid(left: Floats, right: Floats) -> tuple[int, int]:
    """The finest exponents, from `GRID_BITS` down, at which the product stays exact."""
    tops = [int(np.frexp(np.max(np.abs(side), initial=0.0))[1]) for side in (left, right)]
    for bits in range(GRID_BITS, 0, -1):
        exponents = (tops[0] - bits, tops[1] - bits)
        if product_bound(_on_grid(left, exponents[0]), _on_grid(right, exponents[1])) <= EXACT:
            return exponents
    raise AssertionError


def _on_grid(values: Floats, exponent: int) -> Floats:
    """Integers: values over 2^exponent, rounded once."""
    with np.errstate(over="ignore"):  # the decoder refuses what is not finite
        return np.rint(np.ldexp(values, -exponent))


def product_bound(left: Floats, right: Floats) -> int:
    """Σₖ max|left[k]|·max|right[k]| over integer-valued rows, in exact integers."""
    pairs = zip(np.abs(left).max(axis=1), np.abs(right).max(axis=1), strict=True)
    return sum(int(a) * int(b) for a, b in pairs)


class Decoder:
    """Gives Δ̂ chunk by chunk: the rows that a chunk meets are multiplied out."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) < 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(f"`{spec.name}` is no matrix: it has no singular factors")
        self._spec = spec
        self._rows, self._width = matrix_shape(spec)
        self._spans = chunk_spans(spec)
        columns = _columns(settings.get("columns"), min(self._rows, self._width), spec.name)
        group = setting(settings, "group", 1, _GROUP_LIMIT)
        limits = (-_EXPONENT_LIMIT, _EXPONENT_LIMIT)
        exponents = (setting(settings, "left", *limits), setting(settings, "right", *limits))
        kinds = [f"{side}{n}{kind}" for side in "uv" for n in range(len(columns)) for kind in "qsz"]
        reader.expect_parts(spec.name, {"sigma", *kinds})
        rank = sum(part.count for part in columns)
        sigma = np.frombuffer(reader.part(spec.name, "sigma", 4 * rank), dtype="<f4")
        left = _decode_side(reader, (spec.name, "u", self._rows), columns, group)
        right = _decode_side(reader, (spec.name, "v", self._width), columns, group)
        with np.errstate(invalid="ignore"):  # refused below
            left *= sigma.astype(np.float64)[:, None]
        self._left = _on_grid(left, exponents[0])
        self._right = _on_grid(right, exponents[1])
        self._exponent = sum(exponents)
        finite = np.isfinite(self._left).all() and np.isfinite(self._right).all()
        if not finite or product_bound(self._left, self._right) > EXACT:
            raise IntegrityError(f"`{spec.name}`: its factors do not multiply exactly")

    def delta(self, chunk: int) -> Floats:
        """The decoded delta of one chunk."""
        start, stop = self._spans[chunk]
        first, last = start // self._width, -(-stop // self._width)
        product = np.matmul(self._left[:, first:last].T, self._right)
        offset = first * self._width
        flat: Floats = product.reshape(-1)[start - offset : stop - offset]
        with np.errstate(over="ignore"):  # refused where it is added to the reference
            return np.ldexp(flat, self._exponent)


def _columns(plain: Any, rank_limit: int, tensor: str) -> list[Columns]:
    fits = isinstance(plain, list) and all(
        isinstance(pair, list) and len(pair) == 2 and all(type(n) is int for n in pair)  # noqa: PLR2004
        for pair in plain
    )
    columns = [Columns(bits, count) for bits, count in plain] if fits else []
    sound = all(c.bits in _BITS and c.count > 0 for c in columns)
    if not (columns and sound and sum(c.count for c in columns) <= rank_limit):
        raise IntegrityError(f"`{tensor}`: its column groups do not fit its shape")
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
