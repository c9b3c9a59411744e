"""Low-rank updates that run beside a weight: two small products, Δ is never multiplied out.

Δ [m, n] = rows · left [m, r] · ranks · right [r, n] · columns, in the coordinates of the tensor. If
a codec stores scales separately, they stay separate, so that codes can take a byte each. The tensor
of a linear layer is [out, in], of Conv1D [in, out], of an embedding [ids, width].
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch

from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.codecs.shared.forms import (
    AdapterFactors,
    FloatFactors,
    IntegerFactors,
    LiveForm,
    NoChange,
    SparseEntries,
)
from skillpm.delta.tensors.rounding import Floats
from skillpm.delta.tensors.words import Words

_VIEWS = {"BF16": torch.bfloat16, "F16": torch.float16, "F32": torch.float32}
_SIGNED = {2: np.int16, 4: np.int32}


@dataclass(frozen=True)
class LowRankUpdate:
    """Left [m, r] and right [r, n], floats or small integers; scales [r], [m] and [n], or None.

    `scale` multiplies the product.
    """

    left: torch.Tensor
    right: torch.Tensor
    scale: float
    ranks: torch.Tensor | None = None
    rows: torch.Tensor | None = None
    columns: torch.Tensor | None = None

    @property
    def rank(self) -> int:
        """The rank r."""
        return self.left.shape[1]

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors of the update."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if isinstance(value, torch.Tensor))

    def to(self, device: torch.device) -> "LowRankUpdate":
        """Return the same update on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in vars(self).items()
        }
        return LowRankUpdate(**moved)

    def fits(self, out: torch.Tensor, values: torch.Tensor, kind: str) -> bool:
        """Whether `into` can be used: a single dtype, no separate scales, no embedding."""
        if self.ranks is not None or self.rows is not None or self.columns is not None:
            return False
        one_dtype = out.dtype == values.dtype == self.left.dtype == self.right.dtype
        return one_dtype and kind != "embedding" and out.is_contiguous()

    def into(self, out: torch.Tensor, values: torch.Tensor, kind: str) -> None:
        """Add the product for values [..., in] to the contiguous `out` [..., out], in place.

        Makes two calls, and rounds no more often than `linear` and `conv1d`.
        """
        sides = (self.left, self.right) if kind == "conv1d" else (self.right.T, self.left.T)
        inner = values.reshape(-1, values.shape[-1]) @ sides[0]
        out.view(-1, out.shape[-1]).addmm_(inner, sides[1], alpha=self.scale)

    def _dtype(self, values: torch.Tensor) -> torch.dtype:
        """Return the dtype of the product: the wider one; float32 for integer factors."""
        kind = self.left.dtype if self.left.is_floating_point() else torch.float32
        return torch.promote_types(values.dtype, kind)

    def linear(self, values: torch.Tensor) -> torch.Tensor:
        """Return inputs [..., n] · Δᵀ, [..., m]."""
        kind = self._dtype(values)
        inner = _scaled(values.to(kind), self.columns) @ self.right.to(kind).T
        return self._out(_scaled(inner, self.ranks) @ self.left.to(kind).T, self.rows)

    def conv1d(self, values: torch.Tensor) -> torch.Tensor:
        """Return inputs [..., m] · Δ, [..., n]."""
        kind = self._dtype(values)
        inner = _scaled(values.to(kind), self.rows) @ self.left.to(kind)
        return self._out(_scaled(inner, self.ranks) @ self.right.to(kind), self.columns)

    def embedding(self, ids: torch.Tensor) -> torch.Tensor:
        """Return the rows of Δ with these ids [...], [..., n]."""
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


KINDS: dict[str, Callable[[LowRankUpdate, torch.Tensor], torch.Tensor]] = {
    "linear": LowRankUpdate.linear,
    "conv1d": LowRankUpdate.conv1d,
    "embedding": LowRankUpdate.embedding,
}
"""What an update adds to a module's output, by the kind of module."""


def factors_of(
    form: LiveForm, weight: float, dtype: torch.dtype
) -> tuple[LowRankUpdate, ...] | None:
    """Return the updates whose sum is weight · Δ̂, on the CPU; None if the form has no factors.

    `dtype` is the dtype of `FloatFactors`.
    """
    match form:
        case NoChange():
            return ()
        case AdapterFactors():
            left, right = (_stored(side) for side in form.sides)
            return (LowRankUpdate(left, right, form.scale * weight),)
        case FloatFactors():
            return (LowRankUpdate(*_balanced(form, dtype), weight),)
        case IntegerFactors():
            scales = (_vector(scale) for scale in (form.ranks, form.rows, form.columns))
            sides = (np.ascontiguousarray(codes) for codes in (form.left, form.right.T))
            left, right = (torch.from_numpy(codes) for codes in sides)
            return (LowRankUpdate(left, right, weight, *scales),)
        case SparseEntries():
            return None


def _stored(factor: Factor) -> torch.Tensor:
    return tensor_of(np.ascontiguousarray(factor.words), factor.dtype)


def tensor_of(words: Words, dtype: str) -> torch.Tensor:
    """Return bit patterns of BF16, F16 or F32 as a tensor; copies them."""
    signed = words.view(_SIGNED[words.itemsize]).copy()
    return torch.from_numpy(signed).view(_VIEWS[dtype])


def _vector(scales: Floats | None) -> torch.Tensor | None:
    return None if scales is None else torch.from_numpy(scales.astype(np.float32))


def _balanced(form: FloatFactors, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Return left [m, r] and right [r, n] in `dtype`, with similar magnitudes on both sides.

    Balancing each rank keeps it from overflow and underflow in a narrow dtype. Values are scaled by
    powers of two, which loses no precision.
    """
    left, right, exponent = form.left, form.right, form.exponent
    tops = np.frexp(np.abs(left).max(axis=0))[1], np.frexp(np.abs(right).max(axis=1))[1]
    shifts = (tops[1] + exponent - tops[0]) // 2
    sides = np.ldexp(left, shifts), np.ldexp(right, (exponent - shifts)[:, None])
    kind = dtype if dtype.is_floating_point else torch.float32
    first, second = (torch.from_numpy(np.ascontiguousarray(side)).to(kind) for side in sides)
    return first, second
