"""Forecasts how much of its gain each skill would lose in a merge, from manifests (ADRs 18, 29)."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

from skillpm.spec.manifest import Manifest
from skillpm.spec.mergeset import MergeSet
from skillpm.spec.merging import ROUTED, SUM
from skillpm.spec.names import SkillName
from skillpm.spec.overlap import cosine, overlap

Level = Literal["none", "low", "medium", "high", "unknown"]
LEVELS: tuple[tuple[float, Level], ...] = ((0.05, "none"), (0.2, "low"), (0.5, "medium"))
SEVERE: frozenset[Level] = frozenset({"medium", "high"})
_ORDER: tuple[Level, ...] = ("unknown", "none", "low", "medium", "high")
REMEDIES = (
    "a smaller `--weight`, `skillpm config set graft.mode routed`, or `--guard` to measure the loss"
)
_ROUTED = "each text is answered by one skill: nothing is merged, so no skill loses any of its gain"
_PARTIAL = (
    "the forecast for {} does not include skills that share no tensor with it, because not all "
    "packs record a gain (`pack --probes`); the loss may be larger; `--guard` measures it"
)
_OTHER_METHOD = (
    "the forecast assumes the method `sum`, but `[graft]` sets `{}`, which drops or rescales parts "
    "of each delta; the loss may be larger or smaller; `--guard` measures it"
)


@dataclass(frozen=True)
class PairForecast:
    """Two skills that a merge sums. `harm_to_a` is the share of its gain that `a` loses to `b`.

    A harm is None if the manifests do not determine it. `level` is that of the larger harm, or
    `unknown` if one harm is unknown and the other is not severe.
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
        """Whether at least one of the skills would lose a medium or high share of its gain."""
        return self.level in SEVERE

    @property
    def worst(self) -> float:
        """The larger harm; infinity if both are unknown."""
        harms = [harm for harm in (self.harm_to_a, self.harm_to_b) if harm is not None]
        return max(harms, default=float("inf"))


@dataclass(frozen=True)
class SkillForecast:
    """The share of its gain that a skill would lose to all other skills of the set together."""

    skill: SkillName
    harm: float | None
    level: Level

    @property
    def is_severe(self) -> bool:
        """Whether the skill would lose a medium or high share of its gain."""
        return self.level in SEVERE


@dataclass(frozen=True)
class Forecast:
    """The requested pairs, the worst first, and every skill of the set by name.

    `method` is the merging method of the forecast; None if nothing is merged.
    """

    pairs: tuple[PairForecast, ...]
    skills: tuple[SkillForecast, ...]
    notes: tuple[str, ...]
    method: str | None = SUM


def level_of(harm: float | None) -> Level:
    """The level of a lost share of the gain."""
    if harm is None:
        return "unknown"
    return next((word for limit, word in LEVELS if harm < limit), "high")


def share_text(harm: float | None) -> str:
    """A share of a gain, for messages: `about 20 %`."""
    if harm is None:
        return "an unknown share"
    return "all" if harm >= 1 else f"about {100 * harm:.0f} %"


def forecast(
    manifests: Sequence[Manifest],
    weights: Mapping[SkillName, float],
    mode: str,
    about: Collection[SkillName] | None = None,
    *,
    method: str = SUM,
) -> Forecast:
    """Forecast every pair with a skill of `about`; all pairs if `about` is None.

    Costs about 0.2 ms per pair. `notes` names each pack whose sketch cannot be used; its pairs are
    `unknown`. In routed mode nothing is merged, so there is no forecast. The forecast always
    assumes the method `sum`; for any other `method` a note states this.
    """
    if mode == ROUTED:
        return Forecast((), (), (_ROUTED,) if len(manifests) > 1 else (), None)
    merge = MergeSet(manifests, weights)
    pairs = [
        _pair(merge, a, b)
        for a, b in combinations(merge.skills, 2)
        if (about is None or a in about or b in about) and merge.are_independent(a, b)
    ]
    skills = [_skill(merge, skill) for skill in merge.skills]
    ordered = sorted(pairs, key=lambda pair: (-pair.worst, pair.a, pair.b))
    notes = (*merge.notes, *_partial(merge, skills))
    about_method = (_OTHER_METHOD.format(method),) if pairs and method != SUM else ()
    return Forecast(tuple(ordered), tuple(skills), (*notes, *about_method))


def _pair(merge: MergeSet, a: SkillName, b: SkillName) -> PairForecast:
    if a not in merge.deltas or b not in merge.deltas:
        return PairForecast(a, b, None, None, None, None, None, "unknown")
    ours, theirs = merge.deltas[a], merge.deltas[b]
    to_a, to_b = merge.lost_to(a, b), merge.lost_to(b, a)
    angle = cosine(ours.sketch, theirs.sketch)
    return PairForecast(a, b, overlap(ours, theirs), *angle, to_a, to_b, _level_of_both(to_a, to_b))


def _level_of_both(to_a: float | None, to_b: float | None) -> Level:
    """The level of the larger harm; `unknown` if one is unknown and the other is not severe."""
    levels = [level_of(harm) for harm in (to_a, to_b)]
    worst = max(levels, key=_ORDER.index)
    return worst if worst in SEVERE or "unknown" not in levels else "unknown"


def _skill(merge: MergeSet, skill: SkillName) -> SkillForecast:
    lost = merge.lost_to_all(skill)
    return SkillForecast(skill, lost, level_of(lost))


def _partial(merge: MergeSet, skills: Sequence[SkillForecast]) -> Iterator[str]:
    """A note about the skills whose harm is a lower bound, because other skills are missing."""
    known = [forecast.skill for forecast in skills if forecast.harm is not None]
    partial = [str(skill) for skill in known if merge.left_out(skill)]
    if partial:
        yield _PARTIAL.format(", ".join(partial))
