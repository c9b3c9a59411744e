"""A low-rank update beside a weight: what it adds to a module's output, never multiplied out.

In the coordinates of the tensor Δ [m, n] = rows · left [m, r] · ranks · right [r, n] · columns: the
scales stand in between where a codec has them apart, so that codes may stay a byte each. A linear
layer keeps its tensor as [out, in], Conv1D as [in, out], an embedding as [ids, width].
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from skillpm.delta.bits import Words
from skillpm.delta.codecs import factors, lowrank, svd
from skillpm.delta.exact import Factor as Stored
from skillpm.delta.rounding import Floats

_VIEWS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_SIGNED = {2: np.int16, 4: np.int32}


@dataclass(frozen=True)
class Factors:
    """Left and right factor, in a storage dtype or as small integers; scales where there are."""

    left: torch.Tensor
    right: torch.Tensor
    scale: float
    ranks: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """The columns of the left factor."""
        return self.left.shape[1]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All that it holds."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if isinstance(value, torch.Tensor))

    def to(self, device: torch.device) -> "Factors":
        """On a device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in vars(self).items()
        }
        return Factors(**moved)

    def fits(self, out: torch.Tensor, values: torch.Tensor, kind: str) -> bool:
        """Whether `into` serves: a product for vectors, of one dtype all through, scaled once."""
        if self.ranks is not None or self.rows is not None or self.columns is not None:
            return False
        same = out.dtype == values.dtype == self.left.dtype == self.right.dtype
        return same and kind != "embedding" and out.is_contiguous()

    def into(self, out: torch.Tensor, values: torch.Tensor, kind: str) -> None:
        """Add the product for values [..., in] to `out` [..., out], contiguous, in place.

        In two calls, rounded no more often than by `linear` and `conv1d`.
        """
        sides = (self.left, self.right) if kind == "conv1d" else (self.right.T, self.left.T)
        inner = values.reshape(-1, values.shape[-1]) @ sides[0]
        out.view(-1, out.shape[-1]).addmm_(inner, sides[1], alpha=self.scale)

    def _dtype(self, values: torch.Tensor) -> torch.dtype:
        """What is multiplied in: the wider of both; in float32 where the codes are integers."""
        kind = self.left.dtype if self.left.is_floating_point() else torch.float32
        return torch.promote_types(values.dtype, kind)

    def linear(self, values: torch.Tensor) -> torch.Tensor:
        """Inputs [..., n] · Δᵀ → [..., m]."""
        kind = self._dtype(values)
        inner = _scaled(values.to(kind), self.columns) @ self.right.to(kind).T
        return self._out(_scaled(inner, self.ranks) @ self.left.to(kind).T, self.rows)

    def conv1d(self, values: torch.Tensor) -> torch.Tensor:
        """Inputs [..., m] · Δ → [..., n]."""
        kind = self._dtype(values)
        inner = _scaled(values.to(kind), self.rows) @ self.left.to(kind)
        return self._out(_scaled(inner, self.ranks) @ self.right.to(kind), self.columns)

    def embedding(self, ids: torch.Tensor) -> torch.Tensor:
        """The rows of Δ with these ids [...] → [..., n]."""
        inner = self.left[ids]
        kind = inner.dtype if inner.is_floating_point() else torch.float32
        inner = inner.to(kind)
        if self.rows is not None:
            inner = inner * self.rows[ids][..., None].to(kind)
        return self._out(_scaled(inner, self.ranks) @ self.right.to(kind), self.columns)

    def _out(self, product: torch.Tensor, scales: torch.Tensor | None) -> torch.Tensor:
        product = _scaled(product, scales)
        return product if self.scale == 1.0 else product * self.scale


def _scaled(values: torch.Tensor, scales: torch.Tensor | None) -> torch.Tensor:
    return values if scales is None else values * scales.to(values.dtype)


KINDS: dict[str, Callable[[Factors, torch.Tensor], torch.Tensor]] = {
    "linear": Factors.linear,
    "conv1d": Factors.conv1d,
    "embedding": Factors.embedding,
}
"""What a factor adds, by the kind of module."""

FactorDecoder = lowrank.Decoder | svd.Decoder | factors.Decoder


def has_factors(decoder: object) -> bool:
    """Whether a codec's delta is a product that can stay one. DoRA's is not: it rescales rows."""
    if isinstance(decoder, lowrank.Decoder):
        return decoder.update.magnitudes is None
    return isinstance(decoder, FactorDecoder)


def factors_of(decoder: FactorDecoder, weight: float, dtype: torch.dtype) -> Factors:
    """The factors of one decoded tensor, at a weight; those of `svd` in `dtype`."""
    if isinstance(decoder, lowrank.Decoder):
        update = decoder.update
        sides = (update.a.flipped, update.b.flipped) if update.transposed else (update.b, update.a)
        return Factors(_stored(sides[0]), _stored(sides[1]), update.scale * weight)
    if isinstance(decoder, svd.Decoder):
        product = decoder.product
        lefts = product.left(slice(None))
        return Factors(*_balanced(lefts, product.right, product.exponent, dtype), weight)
    scaled = decoder.scaled
    scales = (_vector(each) for each in (scaled.ranks, scaled.rows, scaled.columns))
    left, right = (np.ascontiguousarray(codes) for codes in (scaled.left, scaled.right.T))
    return Factors(torch.from_numpy(left), torch.from_numpy(right), weight, *scales)


def _stored(factor: Stored) -> torch.Tensor:
    return tensor_of(np.ascontiguousarray(factor.words), factor.dtype)


def tensor_of(words: Words, dtype: str) -> torch.Tensor:
    """Bit patterns of BF16, F16 or F32 as a tensor, copied."""
    signed = words.view(_SIGNED[words.itemsize]).copy()
    return torch.from_numpy(signed).view(_VIEWS[dtype])


def _vector(scales: Floats | None) -> torch.Tensor | None:
    return None if scales is None else torch.from_numpy(scales.astype(np.float32))


def _balanced(
    left: Floats, right: Floats, exponent: int, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    """The product left · right · 2^exponent with the ranks of both sides alike in size.

    So none is lost in a narrow dtype; they are moved by powers of two, which costs no precision.
    """
    tops = np.frexp(np.abs(left).max(axis=0))[1], np.frexp(np.abs(right).max(axis=1))[1]
    moved = (tops[1] + exponent - tops[0]) // 2
    sides = np.ldexp(left, moved), np.ldexp(right, (exponent - moved)[:, None])
    kind = dtype if dtype.is_floating_point else torch.float32
    first, second = (torch.from_numpy(np.ascontiguousarray(side)).to(kind) for side in sides)
    return first, second
