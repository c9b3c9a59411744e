"""Composition: base + a set of packs, tensor by tensor, as a stream (contract, section 4).

Where one pack at weight 1 touches a tensor (or lies on top of all others that do), the result is
that pack's own decode, whatever the method. Otherwise it is float64(base) + what the method of
merging makes of the deltas, rounded once: for `sum` Σ wᵢΔᵢ in the order of skill names. A
composition is itself a source, so that a pack can be cut from it (`--over`).

Cost: `sum` streams. The other methods hold the tensor's deltas whole: 8 bytes an element for each
task vector and a few more, for each worker.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skillpm.delta.apply.open_pack import OpenPack
from skillpm.delta.codecs.shared.base import round_sum
from skillpm.delta.merging.arithmetic import add_up
from skillpm.delta.merging.methods import merge
from skillpm.delta.merging.vectors import Mask, Vector
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import Floats, is_finite, to_float64
from skillpm.delta.tensors.streams import reference_chunks
from skillpm.delta.tensors.words import Words, chunk_spans, word_count
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec, is_float
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.merging import SUM, Merging
from skillpm.spec.names import SkillName

_SUMMED = Merging()


@dataclass(frozen=True)
class WeightedPack:
    """A pack at a weight."""

    pack: OpenPack
    weight: float = 1.0


class Composition:
    """Base + set, as a source. The set holds every pack that another of it lies over."""

    def __init__(
        self, base: Source, applied: list[WeightedPack], merging: Merging = _SUMMED
    ) -> None:
        self._base = base
        self.merging = merging
        self._applied = {
            each.pack.skill: each for each in sorted(applied, key=lambda a: a.pack.skill)
        }
        self._references: dict[SkillName, Composition] = {}
        self._below = {skill: self._lower(skill) for skill in self._applied}
        covered = frozenset[SkillName]().union(*self._below.values())
        self._uppermost = [skill for skill in self._applied if skill not in covered]

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
        is_additive = entry.change == "changed" and is_float(entry.dtype)
        return entry if not is_additive or (full and len(self._tops(tensor)) == 1) else None

    def vectors(self, tensor: str) -> Mapping[SkillName, tuple[SkillName, ...]]:
        """The task vectors that meet in a tensor, each by the pack on top, and whose deltas it is.

        A pack and all that it alone lies over are one: together they are what was tuned. A pack
        that several lie over is one of its own.
        """
        found: dict[SkillName, tuple[SkillName, ...]] = {}
        for skill in self.touched[tensor]:
            leader = skill
            for tops in (self._tops(tensor), self._uppermost):
                over = [t for t in tops if t == leader or leader in self._below[t]]
                leader = over[0] if len(over) == 1 else leader
            found[leader] = (*found.get(leader, ()), skill)
        return dict(sorted(found.items()))

    def merges(self, tensor: str) -> bool:
        """Whether a method but `sum` decides a tensor: several task vectors meet in it."""
        if self.merging.method == SUM or tensor not in self.touched:
            return False
        return self.sole(tensor) is None and len(self.vectors(tensor)) > 1

    def chunks(self, name: str) -> Iterator[bytes]:
        """The result's bytes, chunk by chunk."""
        if name not in self.touched:
            yield from self._base.chunks(name)
            return
        top = self._tops(name)[0]
        if self.sole(name):
            pack, reference = self._applied[top].pack, self.reference_of(top)
            decoded = pack.decode(name, reference, with_delta=False)
            yield from (words.tobytes() for _, words, _ in decoded)
        elif self.merges(name):
            yield from (words.tobytes() for words in self._merged(name))
        else:
            yield from (words.tobytes() for words in self._sum(name))

    def reference_of(self, skill: SkillName) -> Source:
        """What a pack was cut from: the base, with the set that it lies over."""
        below = self._below[skill]
        if not below:
            return self._base
        if skill not in self._references:
            lower = [WeightedPack(self._applied[name].pack) for name in below]
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
            with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` refuses both
                total = add_up(to_float64(base, spec.dtype), weights, deltas)
            yield round_sum(base, total, spec.dtype, name)

    def _merged(self, name: str) -> Iterator[Words]:
        """float64(base) + what the method makes of the task vectors, rounded once."""
        spec = self.specs[name]
        bases = list(reference_chunks(self._base, spec))
        finite = [is_finite(base, spec.dtype) for base in bases]
        vectors = [
            self._vector(leader, members, spec, finite)
            for leader, members in self.vectors(name).items()
        ]
        delta = merge(vectors, self.merging, name)
        for base, (start, stop) in zip(bases, chunk_spans(spec), strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` refuses both
                total = to_float64(base, spec.dtype) + delta[start:stop]
            yield round_sum(base, total, spec.dtype, name)

    def _vector(
        self,
        leader: SkillName,
        members: tuple[SkillName, ...],
        spec: TensorSpec,
        finite: list[Mask],
    ) -> Vector:
        """One task vector, whole: zero where the base is no number, whose bits stay there.

        Several packs are added up, each at its weight. Raises `GraftError` as a sum does.
        """
        delta = np.empty(word_count(spec))
        weights = [self._applied[skill].weight for skill in members]
        alone = len(members) == 1
        streams = [self._deltas(skill, spec.name) for skill in members]
        for keep, span, *parts in zip(finite, chunk_spans(spec), *streams, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # told below
                total = parts[0] if alone else add_up(np.zeros_like(parts[0]), weights, parts)
            piece = delta[slice(*span)]
            piece[:] = np.where(keep, total, 0.0)
            if not np.isfinite(piece).all():
                raise GraftError(
                    f"`{spec.name}` overflows {spec.dtype}, or becomes NaN, when it is grafted"
                )
        return Vector(str(leader), weights[0] if alone else 1.0, delta)

    def _deltas(self, skill: SkillName, name: str) -> Iterator[Floats]:
        pack = self._applied[skill].pack
        dtype = pack.entries[name].dtype
        for reference, words, delta in pack.decode(name, self.reference_of(skill)):
            if delta is not None:
                yield delta
            else:
                with np.errstate(over="ignore", invalid="ignore"):  # the sum is checked as a whole
                    exact = to_float64(words, dtype) - to_float64(reference, dtype)
                yield exact
