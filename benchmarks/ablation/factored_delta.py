"""A decoded delta with factors that can be refined: one for the tensor, or per row or rank."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

import numpy as np
import torch

from skillpm.delta.codecs.shared.forms import IntegerFactors

if TYPE_CHECKING:
    from collections.abc import Iterator

    from skillpm.checkpoint.model import Checkpoint
    from skillpm.delta.decoding.open_pack import OpenPack

By = Literal["tensor", "rank", "row"]


class Delta(Protocol):
    """A delta [m, n] that is linear in its factors [k, 1]; with factors of 1 it is Δ̂."""

    @property
    def count(self) -> int:
        """The number k of factors."""
        ...

    def scaled(self, factors: torch.Tensor) -> torch.Tensor:
        """The delta [m, n] with factors [k, 1]."""
        ...

    def pull(self, gradient: torch.Tensor) -> torch.Tensor:
        """The gradient [k, 1] of the factors, from that of the weights [m, n]."""
        ...


@dataclass(frozen=True)
class DenseDelta:
    """Δ̂ [m, n], with a factor for each row, or one for all of them."""

    values: torch.Tensor
    by_row: bool = False

    @property
    def count(self) -> int:
        """The number of factors."""
        return len(self.values) if self.by_row else 1

    def scaled(self, factors: torch.Tensor) -> torch.Tensor:
        """Multiply each row by its factor."""
        return self.values * factors

    def pull(self, gradient: torch.Tensor) -> torch.Tensor:
        """Inner products of gradient and Δ̂."""
        products = torch.einsum("mn,mn->m", gradient, self.values)[:, None]
        return products if self.by_row else products.sum().view(1, 1)


@dataclass(frozen=True)
class LowRankDelta:
    """Δ̂ = left [m, r] · right [r, n], with a factor for each rank."""

    left: torch.Tensor
    right: torch.Tensor

    @property
    def count(self) -> int:
        """The number of factors."""
        return len(self.right)

    def scaled(self, factors: torch.Tensor) -> torch.Tensor:
        """Multiply each rank by its factor."""
        return self.left @ (factors * self.right)

    def pull(self, gradient: torch.Tensor) -> torch.Tensor:
        """leftₖᵀ · gradient · rightₖ for every rank k."""
        return torch.einsum("rn,rn->r", self.left.T @ gradient, self.right)[:, None]


@dataclass(frozen=True)
class ScaledTensor:
    """A tensor of the base [m, n], in its storage dtype, and a delta that is added to it."""

    base: torch.Tensor
    delta: Delta

    def weights(self, factors: torch.Tensor) -> torch.Tensor:
        """The weights [m, n] as a graft rounds them, in the storage dtype."""
        return (self.base.float() + self.delta.scaled(factors)).to(self.base.dtype)


def decoded(
    pack: OpenPack, base: Checkpoint, before: dict[str, torch.Tensor], by: By
) -> Iterator[tuple[str, ScaledTensor]]:
    """The matrices of a pack whose codec is lossy. `before` are the base's tensors."""
    for name, entry in sorted(pack.entries.items()):
        spec = base.specs.get(name)
        if spec is None or entry.layer is None or len(entry.shape) < 2:
            continue
        form = pack.decoder(name, spec).live_form()
        if by == "rank" and isinstance(form, IntegerFactors):
            yield name, ScaledTensor(before[name], low_rank(form))
            continue
        deltas = [delta for _, _, delta in pack.decode(name, base)]
        found = [each.astype(np.float32) for each in deltas if each is not None]
        if found and any(each.any() for each in found):
            values = torch.from_numpy(np.concatenate(found)).view(entry.shape)
            yield name, ScaledTensor(before[name], DenseDelta(values, by == "row"))


def low_rank(form: IntegerFactors) -> LowRankDelta:
    """The factors of `svd-ec` with their scales."""
    left, right = (torch.from_numpy(side.astype(np.float32)) for side in (form.left, form.right))
    rows, columns, ranks = (
        torch.ones(1) if scales is None else torch.from_numpy(scales).float()
        for scales in (form.rows, form.columns, form.ranks)
    )
    return LowRankDelta(left * rows[:, None], (right * columns[:, None] * ranks).T.contiguous())
