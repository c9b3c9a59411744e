"""Prepares a skill to run: turns the live forms of its codecs into patches of modules.

A tensor runs as factors if every pack that changes it has factors, and they take at most half of
the weight's own multiplications. It runs as a sparse product if few entries differ. Otherwise it
runs as the composed tensor, with the bytes that `graft` writes. Of an embedding, only the rows that
differ are kept.
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
from skillpm.live.parameter_map import ModuleTensor, ParameterMap
from skillpm.live.patches import (
    Addition,
    LowRankAddition,
    Patch,
    RowReplacement,
    SparseAddition,
    forward_with,
)
from skillpm.live.skill_layers import SkillLayers
from skillpm.spec.merkle import leaf_of_chunks

_KINDS = {nn.Linear: "linear", Conv1D: "conv1d", nn.Embedding: "embedding"}
_MATRIX = 2
_MIN_SAVING = 2
"""Factors are used if they take at most 1/_WORTH of the weight's own multiplications."""
_SPARSE_BYTES, _SPARSE_SAVING = 20, 2
"""An entry takes two coordinates and a value, 20 bytes; used at half of the dense bytes or less."""
_TORCH = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True)
class PreparedSkill:
    """A skill that can be activated: its patches by module, and the bytes of their tensors."""

    skill: str
    patches: Mapping[str, Patch]
    nbytes: int
    forms: Mapping[str, str]
    """The form of each tensor: `factors`, `sparse`, `rows` or `dense`; a tied tensor may have
    two."""


@dataclass
class _ChangedTensor:
    """A tensor that a skill changes, in each form in which it can run; made on first use."""

    layers: SkillLayers
    name: str
    value: torch.Tensor
    """The base's tensor in the running model."""

    @cached_property
    def forms(self) -> list[tuple[LiveForm, float]] | None:
        """The live form and the weight of every pack that changes the tensor; their sum is added.

        None if a codec has no such form, if a pack does more than change the tensor, or if a
        merging method other than `sum` decides the result.
        """
        if self.layers.composition.merges(self.name):
            return None
        spec = self.layers.base.specs.get(self.name)
        packs = self.layers.packs_changing(self.name)
        if spec is None or any(pack.entries[self.name].change != "changed" for pack, _ in packs):
            return None
        decoders = [(pack.decoder(self.name, spec), weight) for pack, weight in packs]
        forms = [(decoder.live_form(), weight) for decoder, weight in decoders]
        usable = [(form, weight) for form, weight in forms if form is not None]
        return usable if len(usable) == len(forms) else None

    @cached_property
    def factors(self) -> list[LowRankUpdate] | None:
        """All additions as factors; None if one has no factors, or if the weight costs less."""
        if self.forms is None or self.value.dim() != _MATRIX:
            return None
        updates: list[LowRankUpdate] = []
        for form, weight in self.forms:
            factors = factors_of(form, weight, self.value.dtype)
            if factors is None:
                return None
            updates.extend(update.to(self.value.device) for update in factors)
        rank = sum(update.rank for update in updates)
        return updates if _MIN_SAVING * rank * sum(self.value.shape) <= self.value.numel() else None

    @cached_property
    def sparse_delta(self) -> torch.Tensor | None:
        """The entries that a pruned pack keeps, as a sparse Δ; None if dense is smaller."""
        match self.forms:
            case [(SparseEntries() as entries, weight)]:
                return self._sparse(entries, weight)
            case _:
                return None

    def _sparse(self, entries: SparseEntries, weight: float) -> torch.Tensor | None:
        """Return weight · Δ̂ in coordinates, float32; None if over half of the dense bytes."""
        positions, kept = entries.read()
        if _SPARSE_SAVING * _SPARSE_BYTES * positions.size > self.value.nbytes:
            return None
        coordinates = np.stack(np.unravel_index(positions, tuple(self.value.shape)))
        values = torch.from_numpy((kept * weight).astype(np.float32))
        delta = torch.sparse_coo_tensor(
            torch.from_numpy(coordinates), values, self.value.shape, check_invariants=True
        )
        return delta.coalesce().to(self.value.device)

    @cached_property
    def dense(self) -> torch.Tensor:
        """The bytes that `graft` writes, checked against the leaf in the manifest."""
        composition = self.layers.composition
        spec, only_entry = composition.specs[self.name], composition.sole(self.name)
        chunks = list(composition.chunks(self.name))
        if only_entry is not None and only_entry.result != leaf_of_chunks(spec, iter(chunks)):
            raise IntegrityError(
                f"`{self.name}` of `{self.layers.skill}` decodes to another leaf "
                "than its manifest states"
            )
        flat = torch.frombuffer(bytearray(b"".join(chunks)), dtype=_TORCH[spec.dtype])
        composed = flat.reshape(spec.shape).clone()  # memory allocated by torch is aligned
        return composed.to(self.value.device, self.value.dtype)

    @cached_property
    def rows(self) -> RowReplacement | None:
        """The rows that differ from the base's; None if they are over half of all rows."""
        composed, base = (
            tensor.contiguous().view(torch.uint8) for tensor in (self.dense, self.value)
        )
        changed = (composed != base).flatten(1).any(dim=1)
        count = int(changed.sum())
        if 2 * count > changed.numel():
            return None
        slots = torch.full((changed.numel(),), -1, dtype=torch.int32, device=changed.device)
        slots[changed] = torch.arange(count, dtype=torch.int32, device=changed.device)
        return RowReplacement(slots, self.dense[changed])


@dataclass
class _PatchCollector:
    """Everything that one skill adds to modules, while it is collected."""

    tensors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    added: dict[str, list[Addition]] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)

    def add(self, tensor: _ChangedTensor, place: ModuleTensor, kind: str | None) -> str:
        """Add a tensor at a place in the smallest form that runs there; return the form's name."""
        added = self.added.setdefault(place.path, [])
        if kind is not None and tensor.factors is not None:
            added.extend(LowRankAddition(factors, kind) for factors in tensor.factors)
            return "factors"
        if kind in ("linear", "conv1d") and tensor.sparse_delta is not None:
            delta = tensor.sparse_delta
            added.append(SparseAddition(delta.t().coalesce() if kind == "conv1d" else delta))
            return "sparse"
        if kind == "embedding" and tensor.rows is not None:
            added.append(tensor.rows)
            return "rows"
        self.tensors.setdefault(place.path, {})[place.attribute] = tensor.dense
        return "dense"

    def nbytes(self) -> int:
        """Return the bytes of all tensors, each counted once."""
        dense = (value for values in self.tensors.values() for value in values.values())
        sizes = {id(value): value.nbytes for value in dense}
        forms = (addition for added in self.added.values() for addition in added)
        sizes |= {id(value): value.nbytes for addition in forms for value in addition.tensors}
        return sum(sizes.values())


def prepare_skill(layers: SkillLayers, parameters: ParameterMap) -> PreparedSkill:
    """Decode a skill into patches. Tensors that are not factors cost as much as in `graft`.

    Raises `IntegrityError` if the base or a payload has changed.
    """
    collector = _PatchCollector()
    with torch.inference_mode(mode=False), torch.no_grad():
        for name, places in parameters.places_of(layers.entries).items():
            if places:
                tensor = _ChangedTensor(layers, name, parameters.value(places[0]))
                forms = {
                    collector.add(tensor, place, _kind(parameters.module(place), place))
                    for place in places
                }
                collector.forms[name] = "+".join(sorted(forms))
        paths = collector.tensors.keys() | collector.added.keys()
        patches = {
            path: _patch(parameters.model.get_submodule(path), path, collector) for path in paths
        }
    return PreparedSkill(layers.skill, patches, collector.nbytes(), collector.forms)


def _patch(module: nn.Module, path: str, collector: _PatchCollector) -> Patch:
    tensors = collector.tensors.get(path)
    return Patch(
        forward_with(module, tensors) if tensors else None, tuple(collector.added.get(path, ()))
    )


def _kind(module: nn.Module, place: ModuleTensor) -> str | None:
    """Return the kind of product that may run beside this weight; None for other classes."""
    return _KINDS.get(type(module)) if place.attribute == "weight" else None
