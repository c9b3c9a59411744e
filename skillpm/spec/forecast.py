"""What a merge would cost each skill, forecast from manifests alone (ADR 18)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import inf
from typing import Literal

from skillpm.errors import SpecError
from skillpm.spec.compat import lower_closure
from skillpm.spec.manifest import Manifest
from skillpm.spec.merging import ROUTED, SUM
from skillpm.spec.names import SkillName
from skillpm.spec.overlap import Delta, Vector, cosine, delta_of, dot, overlap, scaled, total

Level = Literal["none", "low", "medium", "high", "unknown"]
LEVELS: tuple[tuple[float, Level], ...] = ((0.05, "none"), (0.2, "low"), (0.5, "medium"))
LOSS = "token_loss"
SEVERE: frozenset[Level] = frozenset({"medium", "high"})
WAYS_OUT = (
    '`mode = "routed"` in `[graft]`, a smaller `weight` in `[skills]`, or `--guard`, which '
    "measures what is lost"
)
_ROUTED = "each answer is routed to one skill: nothing is merged, so no skill is hurt"
_OTHER = (
    "the forecast is of a merge by `sum`, and `[graft]` asks for `{}`, which keeps or rescales "
    "parts of each skill: what it costs may be more or less; `--guard` measures it"
)


@dataclass(frozen=True)
class PairForecast:
    """Two skills that a merge adds up. `harm_to_a`: the share of its gain that `a` loses to `b`.

    None where a sketch cannot be used. `level` is of the worse of both.
    """

    a: SkillName
    b: SkillName
    overlap: float | None
    cosine: float | None
    cosine_error: float | None
    harm_to_a: float | None
    harm_to_b: float | None
    level: Level

    @property
    def is_severe(self) -> bool:
        """Whether one of both would lose a medium share of its gain, or more."""
        return self.level in SEVERE

    @property
    def worst(self) -> float:
        """The larger harm; what is unknown comes before all."""
        harms = [harm for harm in (self.harm_to_a, self.harm_to_b) if harm is not None]
        return max(harms, default=float("inf"))


@dataclass(frozen=True)
class SkillForecast:
    """The share of its gain that a skill would lose to all others of the set together."""

    skill: SkillName
    harm: float | None
    level: Level

    @property
    def is_severe(self) -> bool:
        """Whether the skill would lose a medium share of its gain, or more."""
        return self.level in SEVERE


@dataclass(frozen=True)
class Forecast:
    """The pairs that were asked for, the worst first, and every skill of the set by name.

    `method` is the one that is forecast; None where nothing is merged.
    """

    pairs: tuple[PairForecast, ...]
    skills: tuple[SkillForecast, ...]
    notes: tuple[str, ...]
    method: str | None = SUM


def level_of(harm: float | None) -> Level:
    """The word for a share of the gain that is lost."""
    if harm is None:
        return "unknown"
    return next((word for limit, word in LEVELS if harm < limit), "high")


def share_text(harm: float | None) -> str:
    """A share of a gain, as people read it."""
    if harm is None:
        return "an unknown share"
    return "all" if harm >= 1 else f"about {100 * harm:.0f} %"


def harm(alone: Vector, merged: Vector, others: Vector, size: float) -> float:
    """The share of its gain that a skill loses, by the second-order view of its loss.

    At a displacement x from the base, its text's loss is taken as least at Δ (`alone`), and as
    growing with ‖x - Δ‖². `merged` is wΔ, `others` what the rest of the set adds, `size` the
    squared length that its whole gain is worth; what its own weight costs is not counted. Never
    below 0; above 1 where it would be worse than the base.
    """
    excess = dot(others, others) + 2 * (dot(merged, others) - dot(alone, others))
    return max(0.0, excess / size)


def recorded_gain(manifest: Manifest) -> float | None:
    """The loss in nats a token that tuning took off, if the pack's probes say so."""
    gains = [
        one.base_value - one.value
        for one in manifest.capabilities
        if one.metric == LOSS and one.base_value is not None
    ]
    gain = sum(gains) / len(gains) if gains and not manifest.over else 0.0
    return gain if 0.0 < gain < inf else None


class _Set:
    """The deltas of a set at its weights, each skill with what it lies over."""

    def __init__(self, manifests: Sequence[Manifest], weights: Mapping[SkillName, float]) -> None:
        self.skills = sorted(manifest.skill for manifest in manifests)
        over = {m.skill: [lower.skill for lower in m.over] for m in manifests}
        self._below = lower_closure(over)
        self._weights = weights
        self.deltas: dict[SkillName, Delta] = {}
        self.notes: list[str] = []
        for manifest in sorted(manifests, key=lambda manifest: manifest.skill):
            try:
                self.deltas[manifest.skill] = delta_of(manifest)
            except SpecError as problem:
                self.notes.append(f"{manifest.ref} is left out of the forecast: {problem.message}")
        found = ((m.skill, recorded_gain(m)) for m in manifests if m.skill in self.deltas)
        self._gains = {skill: gain for skill, gain in found if gain is not None}

    def rivals(self, one: SkillName, other: SkillName) -> bool:
        """Whether two skills meet in a merge as strangers: neither lies over the other."""
        return one not in self._below[other] and other not in self._below[one]

    def can_tell(self, victim: SkillName, other: SkillName) -> bool:
        """Whether anything says what `other` costs `victim`.

        Without a recorded gain, the harm is read off the lengths of the deltas: that compares
        nothing where the two touch no tensor in common.
        """
        if victim in self._gains or victim not in self.deltas or not any(self.weighed(other)):
            return True
        stack = [victim, *self._below[victim]]
        return any(overlap(self.deltas[one], self.deltas[other]) for one in stack
                   if one in self.deltas)  # fmt: skip

    def weighed(self, skill: SkillName) -> Vector:
        """wΔ of one pack."""
        return scaled(self.deltas[skill].sketch, self._weights.get(skill, 1.0))

    def strangers(self, skill: SkillName) -> Vector | None:
        """What all others of the set add; None where nothing is known of any of them."""
        others = [one for one in self.skills if one != skill and self.rivals(one, skill)]
        known = [one for one in others if one in self.deltas and self.can_tell(skill, one)]
        if others and not known:
            return None
        kin = [one for one in self.deltas if one not in known]
        return total([self._everything, *(scaled(self.weighed(one), -1.0) for one in kin)])

    @cached_property
    def _everything(self) -> Vector:
        return total([self.weighed(skill) for skill in self.deltas])

    def lost(self, victim: SkillName, others: Vector | None) -> float | None:
        """What a skill, as it is on top of what it lies over, loses to what others add."""
        stack = [victim, *sorted(self._below[victim])]
        if others is None or not all(one in self.deltas for one in stack):
            return None
        alone = total([self.deltas[one].sketch for one in stack])
        if not any(alone):
            return None
        size = self._worth.get(victim) or dot(alone, alone)
        return harm(alone, total([self.weighed(one) for one in stack]), others, size)

    @cached_property
    def _worth(self) -> dict[SkillName, float]:
        """The squared length that each recorded gain is worth, at what is usual in this set.

        Skills of one base share its curvature: a skill that gained much with a short delta has more
        to lose than its norm says, and so withstands more.
        """
        sketches = {skill: self.deltas[skill].sketch for skill in self._gains}
        squares = {skill: dot(sketch, sketch) for skill, sketch in sketches.items()}
        rates = sorted(squares[skill] / gain for skill, gain in self._gains.items())
        usual = rates[(len(rates) - 1) // 2] if rates else 0.0
        return {skill: gain * usual for skill, gain in self._gains.items()}


def forecast(
    manifests: Sequence[Manifest],
    weights: Mapping[SkillName, float],
    mode: str,
    about: Collection[SkillName] | None = None,
    *,
    method: str = SUM,
) -> Forecast:
    """Every pair of the set that `about` names a skill of; all where it is None.

    Costs about 0.2 ms a pair. A pack whose sketch cannot be used is told of in `notes`, its pairs
    are `unknown`. Where answers are routed there is no merge, and nothing is forecast. Any other
    `method` is told of: what is forecast is a sum.
    """
    if mode == ROUTED:
        return Forecast((), (), (_ROUTED,) if len(manifests) > 1 else (), None)
    found = _Set(manifests, weights)
    met = [
        (a, b)
        for a, b in combinations(found.skills, 2)
        if (about is None or a in about or b in about) and found.rivals(a, b)
    ]
    pairs = [_pair(found, a, b) for a, b in met]
    skills = [_skill(found, skill) for skill in found.skills]
    ordered = sorted(pairs, key=lambda pair: (-pair.worst, pair.a, pair.b))
    others = (_OTHER.format(method),) if pairs and method != SUM else ()
    return Forecast(tuple(ordered), tuple(skills), (*found.notes, *others))


def _pair(found: _Set, a: SkillName, b: SkillName) -> PairForecast:
    if a not in found.deltas or b not in found.deltas:
        return PairForecast(a, b, None, None, None, None, None, "unknown")
    ours, theirs = found.deltas[a], found.deltas[b]
    to_a = found.lost(a, found.weighed(b)) if found.can_tell(a, b) else None
    to_b = found.lost(b, found.weighed(a)) if found.can_tell(b, a) else None
    known = [harm for harm in (to_a, to_b) if harm is not None]
    level = level_of(max(known, default=None))
    return PairForecast(
        a, b, overlap(ours, theirs), *cosine(ours.sketch, theirs.sketch), to_a, to_b, level
    )


def _skill(found: _Set, skill: SkillName) -> SkillForecast:
    lost = found.lost(skill, found.strangers(skill))
    return SkillForecast(skill, lost, level_of(lost))
