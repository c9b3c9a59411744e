"""Composition of base and packs, tensor by tensor, as a stream.

If one pack at weight 1 changes a tensor, or is layered on all other packs that change it, the
result is that pack's own decode, whatever the method. Otherwise the result is float64(base) plus
the delta that the merging method computes, rounded once to the storage dtype (law 3c); for `sum`
the delta is Σ wᵢΔᵢ, added in the order of skill names. A composition is a source itself, so a pack
can be encoded against it (`--over`).

Cost: `sum` streams. Another method reads the task vectors several times; each worker holds them in
memory if they are small (`merge`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from skillpm.delta.codecs.shared.base import round_sum
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.merging.arithmetic import add_up
from skillpm.delta.merging.methods import merge
from skillpm.delta.merging.vectors import Mask, Vector
from skillpm.delta.tensors.ports import Source
from skillpm.delta.tensors.rounding import Floats, is_finite, to_float64
from skillpm.delta.tensors.streams import reference_chunks
from skillpm.delta.tensors.words import Words, chunk_spans, word_count
from skillpm.errors import GraftError
from skillpm.spec.closure import closure
from skillpm.spec.dtypes import TensorSpec, is_float
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.merging import SUM, Merging
from skillpm.spec.names import SkillName

_SUMMED = Merging()


@dataclass(frozen=True)
class WeightedPack:
    """A pack and its weight in the composition."""

    pack: OpenPack
    weight: float = 1.0


class Composition:
    """Base + set, as a source.

    The set includes every pack on which another of its packs is layered.
    """

    def __init__(
        self, base: Source, applied: list[WeightedPack], merging: Merging = _SUMMED
    ) -> None:
        self._base = base
        self.merging = merging
        self._applied = {
            weighted.pack.skill: weighted
            for weighted in sorted(applied, key=lambda entry: entry.pack.skill)
        }
        self._references: dict[SkillName, Composition] = {}
        self._below = {skill: self._layers_below(skill) for skill in self._applied}
        covered = frozenset[SkillName]().union(*self._below.values())
        self._uppermost = [skill for skill in self._applied if skill not in covered]

    def _layers_below(self, skill: SkillName) -> frozenset[SkillName]:
        """Return the packs on which this pack is layered, directly or through other packs.

        Raises `GraftError` if one of them is missing, or if a pack is layered on itself.
        """

        def layers(upper: SkillName) -> Iterator[SkillName]:
            for lower in self._applied[upper].pack.over:
                if lower not in self._applied:
                    message = f"`{skill}` is layered on `{lower}`, which is not in the set"
                    raise GraftError(message)
                if lower == skill:
                    raise GraftError(f"`{skill}` is layered on itself")
                yield lower

        return frozenset(closure([skill], layers) - {skill})

    @property
    def skills(self) -> tuple[SkillName, ...]:
        """The skills of the set, sorted."""
        return tuple(self._applied)

    @cached_property
    def touched(self) -> Mapping[str, tuple[SkillName, ...]]:
        """The skills that change each tensor, sorted."""
        touched: dict[str, tuple[SkillName, ...]] = {}
        for skill, weighted in self._applied.items():
            for tensor in weighted.pack.entries:
                touched[tensor] = (*touched.get(tensor, ()), skill)
        return touched

    @cached_property
    def specs(self) -> Mapping[str, TensorSpec]:
        """The spec of every tensor of the result."""
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
        """The tensors of the result that some pack changes, which have to be decoded."""
        return {name: self.specs[name] for name in self.touched if name in self.specs}

    def _top(self, tensor: str) -> FootprintEntry:
        """Return the entry that decides a tensor's shape: that of a pack on top of the others."""
        skill = self._tops(tensor)[0]
        return self._applied[skill].pack.entries[tensor]

    def _tops(self, tensor: str) -> list[SkillName]:
        """Return the packs that change a tensor and on which no other of them is layered."""
        touching = self.touched[tensor]
        covered = frozenset[SkillName]().union(*(self._below[skill] for skill in touching))
        return [skill for skill in touching if skill not in covered]

    def sole(self, tensor: str) -> FootprintEntry | None:
        """Return the entry whose own decode is the result, or None.

        Its `result` is the result's leaf.
        """
        if tensor not in self.touched:
            return None
        entry = self._top(tensor)
        full = all(self._applied[skill].weight == 1.0 for skill in self.touched[tensor])
        is_additive = entry.change == "changed" and is_float(entry.dtype)
        return entry if not is_additive or (full and len(self._tops(tensor)) == 1) else None

    def vectors(self, tensor: str) -> Mapping[SkillName, tuple[SkillName, ...]]:
        """Group the packs that change a tensor into task vectors, by the pack on top of each group.

        A pack and all packs that only it is layered on form one task vector: together they are what
        was tuned. A pack on which several are layered is a task vector itself.
        """
        groups: dict[SkillName, tuple[SkillName, ...]] = {}
        for skill in self.touched[tensor]:
            leader = skill
            for tops in (self._tops(tensor), self._uppermost):
                above = [top for top in tops if top == leader or leader in self._below[top]]
                leader = above[0] if len(above) == 1 else leader
            groups[leader] = (*groups.get(leader, ()), skill)
        return dict(sorted(groups.items()))

    def merges(self, tensor: str) -> bool:
        """Whether a method other than `sum` decides the tensor: several task vectors change it."""
        if self.merging.method == SUM or tensor not in self.touched:
            return False
        return self.sole(tensor) is None and len(self.vectors(tensor)) > 1

    def chunks(self, name: str) -> Iterator[bytes]:
        """Yield the bytes of a tensor of the result, chunk by chunk."""
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
        """Return what a pack was encoded against: the base and the packs on which it is layered."""
        below = self._below[skill]
        if not below:
            return self._base
        if skill not in self._references:
            lower = [WeightedPack(self._applied[name].pack) for name in below]
            self._references[skill] = Composition(self._base, lower)
        return self._references[skill]

    def _sum(self, name: str) -> Iterator[Words]:
        """Yield float64(base) + w₁Δ₁ + w₂Δ₂ + …, in the order of skill names, rounded once."""
        spec = self.specs[name]
        skills = self.touched[name]
        streams = [self._deltas(skill, name) for skill in skills]
        weights = [self._applied[skill].weight for skill in skills]
        bases = reference_chunks(self._base, spec)
        for base, *deltas in zip(bases, *streams, strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` raises for both
                total = add_up(to_float64(base, spec.dtype), weights, deltas)
            yield round_sum(base, total, spec.dtype, name)

    def _merged(self, name: str) -> Iterator[Words]:
        """Yield float64(base) plus the merged task vectors, rounded once."""
        spec = self.specs[name]
        is_special = any(
            not is_finite(base, spec.dtype).all() for base in reference_chunks(self._base, spec)
        )
        vectors = [
            self._vector(leader, members, spec, is_special=is_special)
            for leader, members in self.vectors(name).items()
        ]
        bases = reference_chunks(self._base, spec)
        for base, delta in zip(bases, merge(vectors, self.merging, name), strict=True):
            with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` raises for both
                total = to_float64(base, spec.dtype) + delta
            yield round_sum(base, total, spec.dtype, name)

    def _vector(
        self, leader: SkillName, members: tuple[SkillName, ...], spec: TensorSpec, *,
        is_special: bool,
    ) -> Vector:  # fmt: skip
        """Return one task vector. Several packs are added up, each at its weight.

        `is_special`: the base has NaN or Inf. The vector is zero there, so the base's bits stay.
        """
        weights = [self._applied[skill].weight for skill in members]
        alone = len(members) == 1

        def blocks() -> Iterator[Floats]:
            streams = [self._deltas(skill, spec.name) for skill in members]
            keeps = self._finite(spec) if is_special else (None for _ in chunk_spans(spec))
            for keep, *parts in zip(keeps, *streams, strict=True):
                with np.errstate(over="ignore", invalid="ignore"):  # raises for both below
                    total = parts[0] if alone else add_up(np.zeros_like(parts[0]), weights, parts)
                if keep is not None:
                    total = np.where(keep, total, 0.0)
                if not np.isfinite(total).all():
                    raise GraftError(
                        f"`{spec.name}` overflows {spec.dtype} or becomes NaN in the graft"
                    )
                yield total

        return Vector(str(leader), weights[0] if alone else 1.0, word_count(spec), blocks)

    def _finite(self, spec: TensorSpec) -> Iterator[Mask]:
        """Yield which elements of the base are finite, chunk by chunk."""
        return (is_finite(base, spec.dtype) for base in reference_chunks(self._base, spec))

    def _deltas(self, skill: SkillName, name: str) -> Iterator[Floats]:
        """Yield a pack's Δ̂ of one tensor, chunk by chunk, float64 [n]."""
        pack = self._applied[skill].pack
        dtype = pack.entries[name].dtype
        for reference, words, delta in pack.decode(name, self.reference_of(skill)):
            if delta is not None:
                yield delta
            else:
                with np.errstate(over="ignore", invalid="ignore"):  # the sum is checked as a whole
                    exact = to_float64(words, dtype) - to_float64(reference, dtype)
                yield exact
