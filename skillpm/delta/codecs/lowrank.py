"""The `lowrank` codec: the factors of a LoRA, bit for bit, in their own dtypes.

Δ = scale · B·A for a tensor [out, in], with A [r, in] and B [out, r] as in a PEFT adapter (LoRA: Hu
et al. 2021, arXiv 2106.09685). For a tensor [in, out] (`transposed`: Conv1D, embeddings) Δ is the
transpose. With DoRA's magnitudes m (Liu et al. 2024, arXiv 2402.09353) a tensor W becomes d ∘ (W +
scale · B·A), where d = m / ‖W + scale · B·A‖ is measured during packing and stored as float64, one
per output (`axis` 0: rows; 1: columns).

`ExactProduct` computes the product: the same on every machine, and far more precise than the
storage dtype (law 3a). The scale, a float64, is applied afterwards; everything else is elementwise
float64.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from skillpm.delta.codecs.shared.base import (
    add_and_round,
    choice,
    flag,
    number,
    put_planes,
    read_planes,
    setting,
)
from skillpm.delta.codecs.shared.exact_product import ExactProduct, Factor, width_for
from skillpm.delta.codecs.shared.forms import AdapterFactors
from skillpm.delta.codecs.shared.protocol import Codec, TensorDecoder
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats, to_float64
from skillpm.delta.tensors.words import (
    Words,
    chunk_spans,
    from_planes,
    negative_zero,
    planes_of,
    word_dtype,
)
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import BITS, TensorSpec

NAME = "lowrank"
DTYPES = ("BF16", "F16", "F32")
RANK_FLOOR = 512
"""The largest rank that is read, even if both sides of the tensor are shorter."""
_WIDTH_LIMIT = 26
"""The widest slices, in bits, that a record may ask for."""
_DEPTHS = {"BF16": 1, "F16": 1, "F8_E4M3": 1, "F8_E5M2": 1}


@dataclass(frozen=True)
class Update:
    """A low-rank update of one tensor: A [r, in], B [out, r], and for DoRA d along `axis`."""

    a: Factor
    b: Factor
    scale: float
    transposed: bool
    axis: int | None = None
    magnitudes: Floats | None = None

    @property
    def rank(self) -> int:
        """The rank r."""
        return int(self.a.words.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of Δ."""
        out, width = int(self.b.words.shape[0]), int(self.a.words.shape[1])
        return (width, out) if self.transposed else (out, width)

    def equals(self, other: "Update") -> bool:
        """Whether both updates have the same bits, so that they give the same tensor."""
        mine, others = self.magnitudes, other.magnitudes
        return (
            self.a.equals(other.a)
            and self.b.equals(other.b)
            and (self.scale, self.transposed, self.axis)
            == (other.scale, other.transposed, other.axis)
            and (mine is None) == (others is None)
            and (mine is None or others is None or mine.tobytes() == others.tobytes())
        )

    def product(self, what: str, *, width: int, depth: int) -> ExactProduct:
        """Return B·A or its transpose, multiplied in slices of `width` bits to `depth` levels."""
        left, right = (self.a.flipped, self.b.flipped) if self.transposed else (self.b, self.a)
        return ExactProduct(left, right, what, width=width, depth=depth)


def depth_for(dtype: str) -> int:
    """Return the levels of slices for this dtype; the product is far more precise than it."""
    return _DEPTHS.get(dtype, 2)


class AppliedUpdate:
    """An update as deltas of a tensor, chunk by chunk; packing and decoding share it."""

    def __init__(self, spec: TensorSpec, update: Update, *, width: int, depth: int) -> None:
        self._update = update
        self._width = spec.shape[1]
        self._dtype = spec.dtype
        self._spans = chunk_spans(spec)
        self._product = update.product(spec.name, width=width, depth=depth)

    @classmethod
    def fitting(cls, spec: TensorSpec, update: Update) -> "AppliedUpdate":
        """Apply the update with as many slices as the tensor's dtype needs."""
        return cls(spec, update, width=width_for(update.rank), depth=depth_for(spec.dtype))

    def product(self, chunk: int) -> Floats:
        """Return the product of one chunk [n] times the scale, float64; no zero is negative."""
        start, stop = self._spans[chunk]
        flat = np.empty(stop - start)
        for start_of_piece, piece in self._pieces(chunk):
            flat[start_of_piece : start_of_piece + piece.size] = piece
        return flat

    def words(self, chunk: int, reference: Words, tensor: str) -> Words:
        """Return the words [n] of a chunk: reference + Δ, rounded once, in cache-sized pieces."""
        if self._update.magnitudes is not None:
            return add_and_round(reference, self.delta(chunk, reference), self._dtype, tensor)
        words = np.empty_like(reference)
        # The sign of a zero in Δ matters only where the reference is -0.0.
        signed_zeros = not (reference == negative_zero(reference.itemsize)).any()
        for at, piece in self._pieces(chunk, signed_zeros=signed_zeros):
            span = slice(at, at + piece.size)
            words[span] = add_and_round(reference[span], piece, self._dtype, tensor)
        return words

    def _pieces(self, chunk: int, *, signed_zeros: bool = False) -> Iterator[tuple[int, Floats]]:
        """Yield the product of a chunk in pieces: the position in the chunk, and the piece."""
        start, stop = self._spans[chunk]
        first, last = start // self._width, -(-stop // self._width)
        scale = self._update.scale
        for row, piece in self._product.pieces(first, last, scale, signed_zeros=signed_zeros):
            flat: Floats = piece.reshape(-1)
            at = (first + row) * self._width - start
            skipped = max(0, -at)
            yield at + skipped, flat[skipped : stop - start - at]

    def delta(self, chunk: int, reference: Words) -> Floats:
        """Return Δ [n] of a chunk, float64. `reference` [n] are the tensor's words there."""
        product = self.product(chunk)
        magnitudes, axis = self._update.magnitudes, self._update.axis
        if magnitudes is None:
            return product
        start, stop = self._spans[chunk]
        first, last = start // self._width, -(-stop // self._width)
        grid = np.broadcast_to(
            magnitudes[None, :] if axis else magnitudes[first:last, None],
            (last - first, self._width),
        )
        offset = first * self._width
        factors = grid.reshape(-1)[start - offset : stop - offset]
        before = to_float64(reference, self._dtype)
        with np.errstate(invalid="ignore", over="ignore"):  # `round_sum` raises for both
            return (before + product) * factors - before


def encode(spec: TensorSpec, update: Update, writer: PayloadWriter) -> Record:
    """Write the factors, bit for bit."""
    for name, factor in (("a", update.a), ("b", update.b)):
        words = np.ascontiguousarray(factor.words).reshape(-1)
        put_planes(writer, spec.name, name, planes_of(words))
    if update.magnitudes is not None:
        put_planes(writer, spec.name, "d", planes_of(update.magnitudes.view("<u8")))
    record = Record(
        NAME,
        {
            "rank": update.rank,
            "scale": update.scale,
            "a": update.a.dtype,
            "b": update.b.dtype,
            "transposed": update.transposed,
            **({} if update.axis is None else {"axis": update.axis}),
            "width": width_for(update.rank),
            "depth": depth_for(spec.dtype),
        },
    )
    writer.describe(spec.name, record)
    return record


class LowRankDecoder:
    """A `TensorDecoder` that multiplies only the rows of the chunk."""

    def __init__(
        self, spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]
    ) -> None:
        if len(spec.shape) != 2 or not spec.elements:  # noqa: PLR2004 - a matrix has two
            raise IntegrityError(
                f"`{spec.name}` is not a matrix, so codec `lowrank` cannot encode it"
            )
        self._spec = spec
        self.update = _read(spec, reader, settings)
        self._width = setting(settings, "width", 1, _WIDTH_LIMIT)
        self._depth = setting(settings, "depth", 1, 2)
        self._prepared: AppliedUpdate | None = None

    @property
    def _applied(self) -> AppliedUpdate:
        """The update, prepared when it is first multiplied.

        Raises `IntegrityError` if the product would not be exact.
        """
        if self._prepared is None:
            slices = {"width": self._width, "depth": self._depth}
            self._prepared = AppliedUpdate(self._spec, self.update, **slices)
        return self._prepared

    def applies(self, update: Update) -> bool:
        """Whether the decoder computes what `AppliedUpdate.fitting` does with this update."""
        slices = (width_for(update.rank), depth_for(self._spec.dtype))
        return (self._width, self._depth) == slices and self.update.equals(update)

    def decode_chunk(self, chunk: int, reference: Words, delta: Floats | None = None) -> Words:
        """Return float64(reference) + Δ̂, rounded once. Raises `GraftError` if a sum overflows."""
        if delta is None:
            return self._applied.words(chunk, reference, self._spec.name)
        return add_and_round(reference, delta, self._spec.dtype, self._spec.name)

    def delta_of(self, chunk: int, reference: Words | None = None) -> Floats | None:
        """Return Δ̂ [n] of one chunk, float64; None without a reference, which DoRA rescales."""
        return None if reference is None else self._applied.delta(chunk, reference)

    def live_form(self) -> AdapterFactors | None:
        """Return the factors as stored; None with DoRA's magnitudes, which rescale the weight."""
        update = self.update
        if update.magnitudes is not None:
            return None
        return AdapterFactors(update.a, update.b, update.scale, update.transposed)


def applies(decoder: TensorDecoder, update: Update) -> bool:
    """Whether a decoder computes what `AppliedUpdate.fitting` does with this update."""
    return isinstance(decoder, LowRankDecoder) and decoder.applies(update)


CODEC = Codec(NAME, LowRankDecoder, keeps_factors=True)


def rank_limit(shape: tuple[int, int]) -> int:
    """Return the largest rank that is read for a tensor of this shape, to bound memory."""
    return max(RANK_FLOOR, min(shape))


def _read(spec: TensorSpec, reader: PayloadReader, settings: Mapping[str, Any]) -> Update:
    shape = (spec.shape[0], spec.shape[1])
    rank = setting(settings, "rank", 1, rank_limit(shape))
    transposed, scale = flag(settings, "transposed"), number(settings, "scale")
    axis = None if settings.get("axis") is None else setting(settings, "axis", 0, 1)
    kinds = [choice(settings, side, DTYPES) for side in "ab"]
    out, width = reversed(shape) if transposed else shape
    sides = {"a": (rank, width, kinds[0]), "b": (out, rank, kinds[1])}
    parts = {f"{side}{n}" for side, (_, _, kind) in sides.items() for n in range(BITS[kind] // 8)}
    parts |= {f"d{n}" for n in range(8)} if axis is not None else set()
    reader.expect_parts(spec.name, parts)
    a, b = (_factor(reader, (spec.name, side), *sides[side]) for side in "ab")
    magnitudes = None if axis is None else _magnitudes(reader, spec.name, shape[axis])
    return Update(a, b, scale, transposed, axis, magnitudes)


def _factor(
    reader: PayloadReader, which: tuple[str, str], rows: int, columns: int, dtype: str
) -> Factor:
    planes = read_planes(reader, *which, planes=BITS[dtype] // 8, size=rows * columns)
    return Factor(from_planes(planes).reshape(rows, columns), dtype)


def _magnitudes(reader: PayloadReader, tensor: str, size: int) -> Floats:
    words = from_planes(read_planes(reader, tensor, "d", planes=8, size=size))
    values: Floats = words.view("<f8")
    if not np.isfinite(values).all():
        raise IntegrityError(f"`{tensor}`: a DoRA magnitude is NaN or Inf")
    return values


def factor_of(data: bytes, dtype: str, shape: tuple[int, ...]) -> Factor:
    """Make a factor from a tensor's raw bytes."""
    words = np.frombuffer(data, dtype=word_dtype(BITS[dtype] // 8))
    return Factor(words.reshape(shape), dtype)
