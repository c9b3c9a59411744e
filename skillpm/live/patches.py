"""The changes that a skill makes to one module: other weights, or additions to its output."""

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
        """Every tensor that it holds."""
        ...

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`out` with the addition, in the dtype of `out`; `out` itself is not changed."""
        ...

    def add_into(self, out: torch.Tensor, values: torch.Tensor) -> bool:
        """Add in place where that is possible; False, with nothing changed, where it is not."""
        ...


@dataclass(frozen=True)
class Low:
    """Factors beside the weight of a module of this kind."""

    factors: LowRankUpdate
    kind: str

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Every tensor that it holds."""
        return self.factors.tensors

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """The product that is added to the module's output [..., out]."""
        return KINDS[self.kind](self.factors, values)

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`out` with the product added, rounded once to its dtype."""
        return (out + self.of(values)).to(out.dtype)

    def add_into(self, out: torch.Tensor, values: torch.Tensor) -> bool:
        """Add in place where one dtype and no separate scales allow it."""
        fits = self.factors.fits(out, values, self.kind)
        if fits:
            self.factors.into(out, values, self.kind)
        return fits


@dataclass(frozen=True)
class Sparse:
    """A sparse Δ [out, in] beside the weight of a linear layer, in coordinates."""

    delta: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Every tensor that it holds."""
        return self.delta.indices(), self.delta.values()

    def of(self, values: torch.Tensor) -> torch.Tensor:
        """The product that is added to the layer's output [..., out]."""
        flat = values.reshape(-1, values.shape[-1]).to(self.delta.dtype)
        product: torch.Tensor = torch.sparse.mm(self.delta, flat.T).T
        return product.reshape(*values.shape[:-1], -1)

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`out` with the product added, rounded once to its dtype."""
        return (out + self.of(values)).to(out.dtype)

    def add_into(self, out: torch.Tensor, values: torch.Tensor) -> bool:  # noqa: ARG002 - additions share a shape
        """Never in place."""
        return False


@dataclass(frozen=True)
class Rows:
    """The rows of an embedding that a skill changes: `values` [k, width], replaced, not added.

    `slots` [ids] are indices into `values`; -1 for a row that the skill does not change.
    """

    slots: torch.Tensor
    values: torch.Tensor

    @property
    def tensors(self) -> tuple[torch.Tensor, ...]:
        """Every tensor that it holds."""
        return self.slots, self.values

    def add(self, out: torch.Tensor, ids: torch.Tensor) -> torch.Tensor:
        """`out` [..., width] with the changed rows in place of the base's, bit for bit."""
        slots = self.slots[ids]
        fresh = self.values[slots.clamp_min(0)]
        return torch.where((slots >= 0)[..., None], fresh, out)

    def add_into(self, out: torch.Tensor, ids: torch.Tensor) -> bool:  # noqa: ARG002 - additions share a shape
        """Never in place."""
        return False


@dataclass(frozen=True)
class Patch:
    """The forward that replaces a module's own, if any, and the additions to its output."""

    instead: Forward | None
    added: tuple[Addition, ...]

    def run(self, plain: Forward, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """The module's output under the skill."""
        out = (self.instead or plain)(*args, **kwargs)
        return self.add(out, first(args, kwargs)) if self.added else out

    def add(self, out: torch.Tensor, values: torch.Tensor) -> torch.Tensor:
        """`out` with all additions."""
        for each in self.added:
            out = each.add(out, values)
        return out

    def add_rows(self, out: torch.Tensor, values: torch.Tensor, rows: Any) -> None:
        """Add to some rows of `out`, in place; rows of a slice are not copied."""
        mine, some = out[rows], values[rows]
        view = mine if isinstance(rows, slice) else None
        for each in self.added:
            if not each.add_into(mine, some):
                mine = each.add(mine, some)
        if mine is not view:
            out[rows] = mine


def first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    """The first tensor among the arguments that a module was called with."""
    found: torch.Tensor = next(v for v in (*args, *kwargs.values()) if torch.is_tensor(v))
    return found


def twin(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Forward:
    """The forward of a copy of a module with other tensors; everything else is shared.

    The module itself is not touched, so that other threads may run it meanwhile.
    """
    other = copy.copy(module)
    other._parameters = module._parameters.copy()  # noqa: SLF001 - torch has no public way
    other._buffers = module._buffers.copy() if _owns(module, tensors) else module._buffers  # noqa: SLF001
    other.__dict__.pop("forward", None)
    for name, tensor in tensors.items():
        if name in other._parameters:  # noqa: SLF001
            other._parameters[name] = nn.Parameter(tensor, requires_grad=False)  # noqa: SLF001
        else:
            other._buffers[name] = tensor  # noqa: SLF001
    forward: Forward = other.forward
    return forward


def _owns(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> bool:
    return any(name in module._buffers for name in tensors)  # noqa: SLF001
