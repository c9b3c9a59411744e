"""Low-rank updates that run beside a weight: their product with an input, never multiplied out.

In the coordinates of the tensor Δ [m, n] = rows · left [m, r] · ranks · right [r, n] · columns. The
scales stay separate where a codec stores them, so that codes may take a byte each. A linear layer
has its tensor as [out, in], Conv1D as [in, out], an embedding as [ids, width].
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
    """Left [m, r] and right [r, n], floats or small integers; scales [r], [m] and [n], or None."""

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
        """Every tensor that it holds."""
        values = (getattr(self, field.name) for field in fields(self))
        return tuple(value for value in values if isinstance(value, torch.Tensor))

    def to(self, device: torch.device) -> "LowRankUpdate":
        """The same update on a device."""
        moved: dict[str, Any] = {
            name: value.to(device) if isinstance(value, torch.Tensor) else value
            for name, value in vars(self).items()
        }
        return LowRankUpdate(**moved)

    def fits(self, out: torch.Tensor, values: torch.Tensor, kind: str) -> bool:
        """Whether `into` can be used: one dtype throughout, no separate scales, no embedding."""
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
        """The dtype of the product: the wider one; float32 for factors that are integers."""
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


KINDS: dict[str, Callable[[LowRankUpdate, torch.Tensor], torch.Tensor]] = {
    "linear": LowRankUpdate.linear,
    "conv1d": LowRankUpdate.conv1d,
    "embedding": LowRankUpdate.embedding,
}
"""What an update adds to a module's output, by the kind of module."""


def factors_of(
    form: LiveForm, weight: float, dtype: torch.dtype
) -> tuple[LowRankUpdate, ...] | None:
    """The updates whose sum is weight · Δ̂, on the CPU; `dtype` is that of `FloatFactors`.

    None where the form is no product of two factors.
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
            scales = (_vector(each) for each in (form.ranks, form.rows, form.columns))
            sides = (np.ascontiguousarray(codes) for codes in (form.left, form.right.T))
            left, right = (torch.from_numpy(codes) for codes in sides)
            return (LowRankUpdate(left, right, weight, *scales),)
        case SparseEntries():
            return None


def _stored(factor: Factor) -> torch.Tensor:
    return tensor_of(np.ascontiguousarray(factor.words), factor.dtype)


def tensor_of(words: Words, dtype: str) -> torch.Tensor:
    """Bit patterns of BF16, F16 or F32 as a tensor, copied."""
    signed = words.view(_SIGNED[words.itemsize]).copy()
    return torch.from_numpy(signed).view(_VIEWS[dtype])


def _vector(scales: Floats | None) -> torch.Tensor | None:
    return None if scales is None else torch.from_numpy(scales.astype(np.float32))


def _balanced(form: FloatFactors, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    """Left [m, r] and right [r, n] in `dtype`, each rank of about the same magnitude on both sides.

    So no rank overflows or underflows a narrow dtype. Values are moved by powers of two, which
    loses no precision.
    """
    left, right, exponent = form.left, form.right, form.exponent
    tops = np.frexp(np.abs(left).max(axis=0))[1], np.frexp(np.abs(right).max(axis=1))[1]
    moved = (tops[1] + exponent - tops[0]) // 2
    sides = np.ldexp(left, moved), np.ldexp(right, (exponent - moved)[:, None])
    kind = dtype if dtype.is_floating_point else torch.float32
    first, second = (torch.from_numpy(np.ascontiguousarray(side)).to(kind) for side in sides)
    return first, second
