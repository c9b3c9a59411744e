"""Estimates from manifests how much each skill of a weighted set loses to the others."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from skillpm.errors import SpecError
from skillpm.spec.closure import layer_closure
from skillpm.spec.harm import (
    BY_GAIN,
    BY_LENGTH,
    curvature,
    recorded_gain,
    second_order,
    usual_curvature,
)
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.overlap import Delta, Vector, delta_of, dot, scaled, total


class _Metric:
    """The sketches of packs, scaled so that inner products are losses in nats.

    Each sketch is multiplied by the square root of the curvature along its delta. If no pack
    records a gain, the curvature is 1 and inner products are squared lengths.
    """

    def __init__(
        self, sketches: Mapping[SkillName, Vector], rates: Mapping[SkillName, float]
    ) -> None:
        usual = usual_curvature(rates[skill] for skill in sketches if skill in rates)
        self._sketches = {
            skill: scaled(sketch, curvature(rates.get(skill), usual) ** 0.5)
            for skill, sketch in sketches.items()
        }

    def sum(self, skills: Iterable[SkillName], weights: Mapping[SkillName, float]) -> Vector:
        """Σ wΔ of these packs. The weight defaults to 1."""
        return total([scaled(self._sketches[skill], weights.get(skill, 1.0)) for skill in skills])


class MergeSet:
    """The deltas of a set of packs at its weights. Each skill includes the skills it is layered on.

    `notes` names the packs without a usable sketch.
    """

    def __init__(self, manifests: Sequence[Manifest], weights: Mapping[SkillName, float]) -> None:
        self.skills = sorted(manifest.skill for manifest in manifests)
        over = {m.skill: [layer.skill for layer in m.over] for m in manifests}
        self._below = layer_closure(over)
        self._weights = weights
        self.deltas: dict[SkillName, Delta] = {}
        self.notes: list[str] = []
        for manifest in sorted(manifests, key=lambda manifest: manifest.skill):
            try:
                self.deltas[manifest.skill] = delta_of(manifest)
            except SpecError as problem:
                self.notes.append(f"{manifest.ref} is not in the forecast: {problem.message}")
        recorded = ((m.skill, recorded_gain(m)) for m in manifests if m.skill in self.deltas)
        self._gains = {skill: gain for skill, gain in recorded if gain is not None}
        squares = {skill: dot(delta.sketch, delta.sketch) for skill, delta in self.deltas.items()}
        self._rates = {
            skill: gain / squares[skill] for skill, gain in self._gains.items() if squares[skill]
        }

    def are_independent(self, first: SkillName, second: SkillName) -> bool:
        """Whether neither of the two skills is layered on the other."""
        return first not in self._below[second] and second not in self._below[first]

    def can_compare(self, victim: SkillName, other: SkillName) -> bool:
        """Whether the manifests determine how much `victim` loses to `other`.

        If not both record a gain, lengths of deltas are compared instead. Lengths on disjoint
        tensors have no common scale, so the packs must then share a tensor.
        """
        if victim not in self.deltas or other not in self.deltas:
            return False
        if {victim, other} <= self._rates.keys() or not self._adds(other):
            return True
        stack = [skill for skill in self._stack(victim) if skill in self.deltas]
        return any(self.deltas[skill].shares_elements(self.deltas[other]) for skill in stack)

    def left_out(self, victim: SkillName) -> list[SkillName]:
        """The other skills with a usable delta that cannot be compared with a skill."""
        return [
            other
            for other in self._others(victim)
            if other in self.deltas and not self.can_compare(victim, other)
        ]

    def lost_to(self, victim: SkillName, other: SkillName) -> float | None:
        """The share of its gain that a skill loses to `other`. No third skill affects it."""
        if not self.can_compare(victim, other):
            return None
        return self._lost(victim, [other], self._metric([*self._stack(victim), other]))

    def lost_to_all(self, victim: SkillName) -> float | None:
        """The share of its gain that a skill loses to all skills that it can be compared with."""
        others = self._others(victim)
        known = [other for other in others if self.can_compare(victim, other)]
        if others and not known:
            return None
        return self._lost(victim, known, self._metric_of_all)

    def _lost(
        self, victim: SkillName, others: Sequence[SkillName], metric: _Metric
    ) -> float | None:
        stack = self._stack(victim)
        if not all(skill in self.deltas for skill in stack):
            return None
        if not any(map(self._adds, others)) or self._weight(victim) <= 0:
            return 0.0  # a skill with a weight of 0 or below has no gain that it could lose
        alone = metric.sum(stack, {})
        if not any(alone):
            return None
        worth = self._gains.get(victim) or dot(alone, alone)
        merged, added = (metric.sum(skills, self._weights) for skills in (stack, others))
        share = second_order(alone, merged, added, worth)
        recorded = {victim, *filter(self._adds, others)} <= self._rates.keys()
        return (BY_GAIN if recorded else BY_LENGTH).lost(share)

    def _stack(self, skill: SkillName) -> list[SkillName]:
        return [skill, *sorted(self._below[skill])]

    def _others(self, victim: SkillName) -> list[SkillName]:
        return [
            skill
            for skill in self.skills
            if skill != victim and self.are_independent(skill, victim)
        ]

    def _weight(self, skill: SkillName) -> float:
        return self._weights.get(skill, 1.0)

    def _adds(self, skill: SkillName) -> bool:
        """Whether a pack adds to the merge: its weight and its sketch are not 0."""
        return self._weight(skill) != 0 and any(self.deltas[skill].sketch)

    def _metric(self, skills: Iterable[SkillName]) -> _Metric:
        merged = {skill for skill in skills if skill in self.deltas}
        sketches = {skill: self.deltas[skill].sketch for skill in merged}
        rates = {skill: self._rates[skill] for skill in merged & self._rates.keys()
                 if self._weight(skill) != 0}  # fmt: skip
        return _Metric(sketches, rates)

    @cached_property
    def _metric_of_all(self) -> _Metric:
        return self._metric(self.deltas)
