"""From a pack's payload to what runs: factors stay factors, all else becomes what a graft has.

A tensor runs as factors where every pack that touches it is low-rank and that is at most half the
work of the weight itself; as a sparse product where it is pruned to few entries; else as the
composed tensor, the very bytes that `graft` writes. In an embedding only changed rows are kept.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from skillpm.delta.bits import chunk_spans
from skillpm.delta.codecs import lowrank, svd, topk, zero
from skillpm.delta.codecs.factors import Decoder as Coded
from skillpm.delta.packs import Decoder
from skillpm.errors import IntegrityError
from skillpm.live.factors import Factors, factors_of, has_factors
from skillpm.live.patches import Low, Patch, Rows, Sparse, twin
from skillpm.live.places import Place, Places
from skillpm.live.stack import Stack
from skillpm.spec.merkle import leaf_of_chunks

_KINDS = {nn.Linear: "linear", Conv1D: "conv1d", nn.Embedding: "embedding"}
_ADDING = (topk.Decoder, zero.Decoder)
_MATRIX = 2
_WORTH = 2
"""Factors run where they do at most half of the weight's own multiplications."""
_SPARSE_BYTES, _SPARSE_WORTH = 20, 2
"""Two coordinates and a value; taken at half of the dense bytes or less."""
_TORCH = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8,
    "U8": torch.uint8, "BOOL": torch.bool, "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip


@dataclass(frozen=True)
class Ready:
    """A skill that can be switched to: its patches by module, and the bytes that they take."""

    skill: str
    patches: Mapping[str, Patch]
    nbytes: int
    forms: Mapping[str, str]
    """How each tensor runs: `factors`, `sparse`, `rows`, `dense`; a tied one maybe in two ways."""


@dataclass
class _Tensor:
    """One tensor that a skill touches, in each form that it can run in; none is made unasked."""

    stack: Stack
    name: str
    value: torch.Tensor
    """The base's own, in the running model."""

    @cached_property
    def decoders(self) -> list[tuple[Decoder, float]] | None:
        """Of every pack that touches it, with its weight; None where one does more than add.

        None, too, where a method of merging decides what becomes of them: that is no sum.
        """
        if self.stack.composition.merges(self.name):
            return None
        spec = self.stack.base.specs.get(self.name)
        touching = self.stack.touching(self.name)
        if spec is None or any(pack.entries[self.name].change != "changed" for pack, _ in touching):
            return None
        found = [(pack.decoder(self.name, spec), weight) for pack, weight in touching]
        adding = all(has_factors(each) or isinstance(each, _ADDING) for each, _ in found)
        return found if adding else None

    @cached_property
    def factors(self) -> list[Factors] | None:
        """All that is added, as factors; None where it is not, or would cost more than it saves."""
        lows = [each for each in self.decoders or () if not isinstance(each[0], zero.Decoder)]
        if self.decoders is None or self.value.dim() != _MATRIX:
            return None
        found = []
        for decoder, weight in lows:
            if not isinstance(decoder, lowrank.Decoder | svd.Decoder | Coded):
                return None
            made = factors_of(decoder, weight, self.value.dtype)
            found.append(made.to(self.value.device))
        rank = sum(each.rank for each in found)
        return found if _WORTH * rank * sum(self.value.shape) <= self.value.numel() else None

    @cached_property
    def kept(self) -> torch.Tensor | None:
        """The few entries that differ, as a sparse Δ; None where they are many, or not pruned."""
        decoders = self.decoders or []
        if len(decoders) != 1 or not isinstance(decoders[0][0], topk.Decoder):
            return None
        decoder, weight = decoders[0]
        assert isinstance(decoder, topk.Decoder)  # noqa: S101 - for the type checker
        spans = chunk_spans(self.stack.base.specs[self.name])
        pieces = [decoder.delta(number) for number in range(len(spans))]
        at = np.concatenate(
            [np.flatnonzero(p) + s for p, (s, _) in zip(pieces, spans, strict=True)]
        )
        if _SPARSE_WORTH * _SPARSE_BYTES * at.size > self.value.nbytes:
            return None
        kept = np.concatenate([piece[piece != 0] for piece in pieces]) * weight
        places = np.stack(np.unravel_index(at, tuple(self.value.shape)))
        values = torch.from_numpy(kept.astype(np.float32))
        made = torch.sparse_coo_tensor(
            torch.from_numpy(places), values, self.value.shape, check_invariants=True
        )
        return made.coalesce().to(self.value.device)

    @cached_property
    def dense(self) -> torch.Tensor:
        """The bytes that `graft` writes, checked against what the pack promised."""
        composition = self.stack.composition
        spec, sole = composition.specs[self.name], composition.sole(self.name)
        chunks = list(composition.chunks(self.name))
        if sole is not None and sole.result != leaf_of_chunks(spec, iter(chunks)):
            raise IntegrityError(f"`{self.name}` of `{self.stack.skill}` is not what was promised")
        flat = torch.frombuffer(bytearray(b"".join(chunks)), dtype=_TORCH[spec.dtype])
        fresh = flat.reshape(spec.shape).clone()  # at home in memory of torch, which is aligned
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
    """What is collected for the modules of one skill."""

    tensors: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)
    added: dict[str, list[Low | Sparse | Rows]] = field(default_factory=dict)
    forms: dict[str, str] = field(default_factory=dict)

    def take(self, tensor: _Tensor, place: Place, kind: str | None) -> str:
        """Put a tensor into one of its places, in the smallest form that runs there."""
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


def make_ready(stack: Stack, places: Places) -> Ready:
    """Decode a skill into what runs. Costs what a graft of it costs, for all that is not factors.

    Raises `IntegrityError` where base or payload are not what they were.
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


def _kind(module: nn.Module, place: Place) -> str | None:
    """What may run beside this weight; None where only the module itself knows what it does."""
    return _KINDS.get(type(module)) if place.attribute == "weight" else None
