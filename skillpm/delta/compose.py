"""Composition: base + a set of packs, tensor by tensor, as a stream (contract, section 4).

Where one pack at weight 1 touches a tensor (or lies on top of all others that do), the result is
that pack's own decode. Otherwise it is float64(base) + Σ wᵢΔᵢ in the order of skill names, rounded
once. A composition is itself a source, so that a pack can be cut from it (`--over`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skillpm.delta.bits import Words
from skillpm.delta.codecs.base import round_sum
from skillpm.delta.packs import OpenPack
from skillpm.delta.ports import Source
from skillpm.delta.rounding import Floats, to_float64
from skillpm.delta.streams import reference_chunks
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec, is_float
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.names import SkillName


@dataclass(frozen=True)
class Applied:
    """A pack at a weight."""

    pack: OpenPack
    weight: float = 1.0


class Composition:
    """Base + set, as a source. The set holds every pack that another of it lies over."""

    def __init__(self, base: Source, applied: list[Applied]) -> None:
        self._base = base
        self._applied = {
            each.pack.skill: each for each in sorted(applied, key=lambda a: a.pack.skill)
        }
        self._references: dict[SkillName, Composition] = {}
        self._below = {skill: self._lower(skill) for skill in self._applied}

    def _lower(self, skill: SkillName) -> frozenset[SkillName]:
        """The packs that one lies over, and those that they lie over."""
        below: set[SkillName] = set()
        queue = [skill]
        while queue:
            for lower in self._applied[queue.pop()].pack.over:
                if lower not in self._applied:
                    raise GraftError(f"`{skill}` lies over `{lower}`, which is not in the set")
                if lower == skill:
                    raise GraftError(f"`{skill}` lies over itself")
                if lower not in below:
                    below.add(lower)
                    queue.append(lower)
        return frozenset(below)

    @property
    def skills(self) -> tuple[SkillName, ...]:
        """The skills of the set, sorted."""
        return tuple(self._applied)

    @cached_property
    def touched(self) -> Mapping[str, tuple[SkillName, ...]]:
        """The skills that touch each tensor, sorted."""
        touched: dict[str, tuple[SkillName, ...]] = {}
        for skill, each in self._applied.items():
            for tensor in each.pack.entries:
                touched[tensor] = (*touched.get(tensor, ()), skill)
        return touched

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """Every tensor of the result."""
        specs = dict(self._base.specs)
        for tensor in self.touched:
            entry = self._top(tensor)
            if entry.change == "removed":
                specs.pop(tensor, None)
            else:
                specs[tensor] = entry.spec
        return specs

    @cached_property
    def rewritten(self) -> Mapping[str, TensorSpec]:
        """The tensors of the result that a pack touches: all that has to be decoded."""
        return {name: self.specs[name] for name in self.touched if name in self.specs}

    def _top(self, tensor: str) -> FootprintEntry:
        """The entry that decides a tensor's shape: of a pack that no other touching lies over."""
        skill = self._tops(tensor)[0]
        return self._applied[skill].pack.entries[tensor]

    def _tops(self, tensor: str) -> list[SkillName]:
        touching = self.touched[tensor]
        covered = frozenset[SkillName]().union(*(self._below[skill] for skill in touching))
        return [skill for skill in touching if skill not in covered]

    def sole(self, tensor: str) -> FootprintEntry | None:
        """The entry whose own decode is the result, if there is one: `result` is its leaf."""
        if tensor not in self.touched:
            return None
        entry = self._top(tensor)
        full = all(self._applied[skill].weight == 1.0 for skill in self.touched[tensor])
        adds_up = entry.change == "changed" and is_float(entry.dtype)
        return entry if not adds_up or (full and len(self._tops(tensor)) == 1) else None

    def chunks(self, name: str) -> Iterator[bytes]:
        """The result's bytes, chunk by chunk."""
        if name not in self.touched:
            yield from self._base.chunks(name)
            return
        top = self._tops(name)[0]
        if self.sole(name):
            pack, reference = self._applied[top].pack, self._reference(top)
            decoded = pack.decode(name, reference, with_delta=False)
            yield from (words.tobytes() for _, words, _ in decoded)
        else:
            yield from (words.tobytes() for words in self._sum(name))

    def _reference(self, skill: SkillName) -> Source:
        """What a pack was cut from: the base, with the set that it lies over."""
        below = self._below[skill]
        if not below:
            return self._base
        if skill not in self._references:
            lower = [Applied(self._applied[name].pack) for name in below]
            self._references[skill] = Composition(self._base, lower)
        return self._references[skill]

    def _sum(self, name: str) -> Iterator[Words]:
        """float64(base) + w₁Δ₁ + w₂Δ₂ + …, added in the order of skill names, rounded once."""
        spec = self.specs[name]
        skills = self.touched[name]
        streams = [self._deltas(skill, name) for skill in skills]
        weights = [self._applied[skill].weight for skill in skills]
        bases = reference_chunks(self._base, spec)
        for base, *deltas in zip(bases, *streams, strict=True):
            total = to_float64(base, spec.dtype)
            with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` refuses both
                for weight, delta in zip(weights, deltas, strict=True):
                    total = total + (delta if weight == 1.0 else delta * weight)
            yield round_sum(base, total, spec.dtype, name)

    def _deltas(self, skill: SkillName, name: str) -> Iterator[Floats]:
        pack = self._applied[skill].pack
        dtype = pack.entries[name].dtype
        for reference, words, delta in pack.decode(name, self._reference(skill)):
            if delta is not None:
                yield delta
            else:
                with np.errstate(over="ignore", invalid="ignore"):  # the sum is checked as a whole
                    exact = to_float64(words, dtype) - to_float64(reference, dtype)
                yield exact
