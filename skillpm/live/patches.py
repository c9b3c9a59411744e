"""The changes that a skill makes to one module: another forward, or additions to its output."""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn

from skillpm.live.factors import KINDS, LowRankUpdate

Forward = Callable[..., Any]


class Addition(Protocol):
    """Something that is added to a module's output [..., out] for its input [..., in]."""

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors of the addition."""
        ...

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return `out` with the addition, in the dtype of `out`; `out` itself is not changed."""
        ...

    def add_into(self, out: torch.Tensor, values: torch.Tensor) -> bool:
        """Add in place if possible; otherwise change nothing and return False."""
        ...


@dataclass(frozen=True)
class LowRankAddition:
    """Factors beside the weight of a module of this kind."""

    factors: LowRankUpdate
    kind: str

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """All tensors of the factors."""
        return self.factors.tensors

    def product(self, values: torch.Tensor) -> torch.Tensor:
        """Return the product that is added to the module's output [..., out]."""
        return KINDS[self.kind](self.factors, values)

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return `out` with the product added, rounded once to its dtype."""
        return (out + self.product(values)).to(out.dtype)

    def add_into(self, out: torch.Tensor, values: torch.Tensor) -> bool:
        """Add in place if there is a single dtype and no separate scales."""
        fits = self.factors.fits(out, values, self.kind)
        if fits:
            self.factors.into(out, values, self.kind)
        return fits


@dataclass(frozen=True)
class SparseAddition:
    """A sparse Δ [out, in] beside the weight of a linear layer, in coordinates."""

    delta: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The indices and values of Δ."""
        return self.delta.indices(), self.delta.values()

    def product(self, values: torch.Tensor) -> torch.Tensor:
        """Return the product that is added to the layer's output [..., out]."""
        flat = values.reshape(-1, values.shape[-1]).to(self.delta.dtype)
        product: torch.Tensor = torch.sparse.mm(self.delta, flat.T).T
        return product.reshape(*values.shape[:-1], -1)

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return `out` with the product added, rounded once to its dtype."""
        return (out + self.product(values)).to(out.dtype)

    def add_into(self, out: torch.Tensor, values: torch.Tensor) -> bool:  # noqa: ARG002 - additions share a signature
        """Return False: sparse products are never added in place."""
        return False


@dataclass(frozen=True)
class RowReplacement:
    """The rows of an embedding that a skill changes: `values` [k, width] replace the base's rows.

    `slots` [ids] are indices into `values`; -1 for a row that the skill does not change.
    """

    slots: torch.Tensor
    values: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """The slots and values."""
        return self.slots, self.values

    def add(self, out: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """Return `out` [..., width] with the changed rows in place of the base's, bit for bit."""
        slots = self.slots[ids]
        replaced = self.values[slots.clamp_min(0)]
        return torch.where((slots >= 0)[..., None], replaced, out)

    def add_into(self, out: torch.Tensor, ids: torch.Tensor) -> bool:  # noqa: ARG002 - additions share a signature
        """Return False: rows are never replaced in place."""
        return False


@dataclass(frozen=True)
class Patch:
    """A forward that replaces the module's own, or None, and the additions to its output."""

    replacement: Forward | None
    added: tuple[Addition, ...]

    def run(self, original: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Return the module's output under the skill."""
        out = (self.replacement or original)(*args, **kwargs)
        return self.add(out, first_tensor(args, kwargs)) if self.added else out

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """Return `out` with all additions."""
        for addition in self.added:
            out = addition.add(out, values)
        return out

    def add_rows(self, out: torch.Tensor, values: torch.Tensor, rows: Any) -> None:
        """Add to some rows of `out`, in place; rows given as a slice are not copied."""
        selected, inputs = out[rows], values[rows]
        in_place = selected if isinstance(rows, slice) else None
        for addition in self.added:
            if not addition.add_into(selected, inputs):
                selected = addition.add(selected, inputs)
        if selected is not in_place:
            out[rows] = selected


def first_tensor(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """Return the first tensor among the arguments of a module's call."""
    tensor: torch.Tensor = next(v for v in (*args, *kwargs.values()) if torch.is_tensor(v))
    return tensor


def forward_with(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Forward:
    """Return the forward of a copy of a module with other tensors; everything else is shared.

    The module itself is not changed, so other threads can run it meanwhile.
    """
    module_copy = copy.copy(module)
    module_copy._parameters = module._parameters.copy()  # noqa: SLF001 - torch has no public way
    module_copy._buffers = module._buffers.copy() if _owns(module, tensors) else module._buffers  # noqa: SLF001
    module_copy.__dict__.pop("forward", None)
    for name, tensor in tensors.items():
        if name in module_copy._parameters:  # noqa: SLF001
            module_copy._parameters[name] = nn.Parameter(tensor, requires_grad=False)  # noqa: SLF001
        else:
            module_copy._buffers[name] = tensor  # noqa: SLF001
    forward: Forward = module_copy.forward
    return forward


def _owns(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> bool:
    return any(name in module._buffers for name in tensors)  # noqa: SLF001
