"""Makes a skill ready to run: from the codecs' live forms to patches of modules.

A tensor runs as factors where every pack that touches it has factors, and they take at most half of
the weight's own multiplications; as a sparse product where few entries differ; else as the composed
tensor, the bytes that `graft` writes. Of an embedding, only the rows that differ are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from skillpm.delta.codecs.shared.forms import LiveForm, SparseEntries
from skillpm.errors import IntegrityError
from skillpm.live.factors import LowRankUpdate, factors_of
from skillpm.live.patches import Addition, Low, Patch, Rows, Sparse, twin
from skillpm.live.places import ModuleTensor, ParameterMap
from skillpm.live.stack import SkillLayers
from skillpm.spec.merkle import leaf_of_chunks

_KINDS = {nn.Linear: "linear", Conv1D: "conv1d", nn.Embedding: "embedding"}
_MATRIX = 2
_WORTH = 2
"""Factors run where they take at most half of the weight's own multiplications."""
_SPARSE_BYTES, _SPARSE_WORTH = 20, 2
"""Two coordinates and a value; used at half of the dense bytes or less."""
_TORCH = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True)
class Ready:
    """A skill that can be switched to: its patches by module, and the bytes of their tensors."""

    skill: str
    patches: Mapping[str, Patch]
    nbytes: int
    forms: Mapping[str, str]
    """The form of each tensor: `factors`, `sparse`, `rows` or `dense`; a tied one may have two."""


@dataclass
class _Tensor:
    """One tensor that a skill touches, in each form that it can run in; made at first use."""

    stack: SkillLayers
    name: str
    value: torch.Tensor
    """The base's tensor, in the running model."""

    @cached_property
    def forms(self) -> list[tuple[LiveForm, float]] | None:
        """The form and the weight of every pack that touches the tensor, whose sum is added.

        None where a codec has no such form, where the tensor is not only changed, and where a
        merging method decides the result, which is no sum.
        """
        if self.stack.composition.merges(self.name):
            return None
        spec = self.stack.base.specs.get(self.name)
        touching = self.stack.touching(self.name)
        if spec is None or any(pack.entries[self.name].change != "changed" for pack, _ in touching):
            return None
        decoders = [(pack.decoder(self.name, spec), weight) for pack, weight in touching]
        forms = [(decoder.live_form(), weight) for decoder, weight in decoders]
        able = [(form, weight) for form, weight in forms if form is not None]
        return able if len(able) == len(forms) else None

    @cached_property
    def factors(self) -> list[LowRankUpdate] | None:
        """All additions as factors; None where one has none, or where the weight costs less."""
        if self.forms is None or self.value.dim() != _MATRIX:
            return None
        updates: list[LowRankUpdate] = []
        for form, weight in self.forms:
            made = factors_of(form, weight, self.value.dtype)
            if made is None:
                return None
            updates.extend(update.to(self.value.device) for update in made)
        rank = sum(update.rank for update in updates)
        return updates if _WORTH * rank * sum(self.value.shape) <= self.value.numel() else None

    @cached_property
    def kept(self) -> torch.Tensor | None:
        """The entries that a pruned pack keeps, as a sparse Δ; None where dense is smaller."""
        match self.forms:
            case [(SparseEntries() as entries, weight)]:
                return self._sparse(entries, weight)
            case _:
                return None

    def _sparse(self, entries: SparseEntries, weight: float) -> torch.Tensor | None:
        """Weight · Δ̂ in coordinates, float32; None where it takes over half of the dense bytes."""
        positions, kept = entries.read()
        if _SPARSE_WORTH * _SPARSE_BYTES * positions.size > self.value.nbytes:
            return None
        places = np.stack(np.unravel_index(positions, tuple(self.value.shape)))
        values = torch.from_numpy((kept * weight).astype(np.float32))
        made = torch.sparse_coo_tensor(
            torch.from_numpy(places), values, self.value.shape, check_invariants=True
        )
        return made.coalesce().to(self.value.device)

    @cached_property
    def dense(self) -> torch.Tensor:
        """The bytes that `graft` writes, checked against the leaf in the manifest."""
        composition = self.stack.composition
        spec, sole = composition.specs[self.name], composition.sole(self.name)
        chunks = list(composition.chunks(self.name))
        if sole is not None and sole.result != leaf_of_chunks(spec, iter(chunks)):
            raise IntegrityError(f"`{self.name}` of `{self.stack.skill}` is not what was promised")
        flat = torch.frombuffer(bytearray(b"".join(chunks)), dtype=_TORCH[spec.dtype])
        fresh = flat.reshape(spec.shape).clone()  # torch's own memory is aligned
        return fresh.to(self.value.device, self.value.dtype)

    @cached_property
    def rows(self) -> Rows | None:
        """The rows that differ from the base's; None where they are over half of all."""
        fresh, old = (each.contiguous().view(torch.uint8) for each in (self.dense, self.value))
        changed = (fresh != old).flatten(1).any(dim=1)
        count = int(changed.sum())
        if 2 * count > changed.numel():
            return None
        slots = torch.full((changed.numel(),), -1, dtype=torch.int32, device=changed.device)
        slots[changed] = torch.arange(count, dtype=torch.int32, device=changed.device)
        return Rows(slots, self.dense[changed])


@dataclass
class _Parts:
    """Everything that one skill adds to modules, while it is collected."""

    tensors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    added: dict[str, list[Addition]] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)

    def take(self, tensor: _Tensor, place: ModuleTensor, kind: str | None) -> str:
        """Add a tensor at a place in the smallest form that runs there; return the form's name."""
        added = self.added.setdefault(place.path, [])
        if kind is not None and tensor.factors is not None:
            added.extend(Low(each, kind) for each in tensor.factors)
            return "factors"
        if kind in ("linear", "conv1d") and tensor.kept is not None:
            added.append(Sparse(tensor.kept.t().coalesce() if kind == "conv1d" else tensor.kept))
            return "sparse"
        if kind == "embedding" and tensor.rows is not None:
            added.append(tensor.rows)
            return "rows"
        self.tensors.setdefault(place.path, {})[place.attribute] = tensor.dense
        return "dense"

    def nbytes(self) -> int:
        """The bytes of all tensors, each once."""
        dense = (value for values in self.tensors.values() for value in values.values())
        sizes = {id(value): value.nbytes for value in dense}
        forms = (one for added in self.added.values() for one in added)
        sizes |= {id(value): value.nbytes for one in forms for value in one.tensors}
        return sum(sizes.values())


def make_ready(stack: SkillLayers, places: ParameterMap) -> Ready:
    """Decode a skill into patches. For all that is not factors, it costs what `graft` costs.

    Raises `IntegrityError` where base or payload have changed.
    """
    parts = _Parts()
    with torch.inference_mode(mode=False), torch.no_grad():
        for name, where in places.of(stack.entries).items():
            if where:
                tensor = _Tensor(stack, name, places.value(where[0]))
                taken = {parts.take(tensor, at, _kind(places.module(at), at)) for at in where}
                parts.forms[name] = "+".join(sorted(taken))
        paths = parts.tensors.keys() | parts.added.keys()
        patches = {path: _patch(places.model.get_submodule(path), path, parts) for path in paths}
    return Ready(stack.skill, patches, parts.nbytes(), parts.forms)


def _patch(module: nn.Module, path: str, parts: _Parts) -> Patch:
    tensors = parts.tensors.get(path)
    return Patch(twin(module, tensors) if tensors else None, tuple(parts.added.get(path, ())))


def _kind(module: nn.Module, place: ModuleTensor) -> str | None:
    """The kind of product that may run beside this weight; None for modules of other classes."""
    return _KINDS.get(type(module)) if place.attribute == "weight" else None
