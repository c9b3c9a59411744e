"""What a merge would cost each skill, forecast from manifests alone (ADRs 18 and 29)."""

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
    '`mode = "routed"` in `[graft]`, a smaller `weight` in `[skills]`, or `--guard`, which '
    "measures what is lost"
)
_ROUTED = "each answer is routed to one skill: nothing is merged, so no skill is hurt"
_PARTLY = (
    "the forecast for {} leaves out skills that share no tensor with it where a gain is not "
    "recorded (`pack --probes`): more may be lost; `--guard` measures it"
)
_OTHER = (
    "the forecast is of a merge by `sum`, and `[graft]` asks for `{}`, which keeps or rescales "
    "parts of each skill: what it costs may be more or less; `--guard` measures it"
)


@dataclass(frozen=True)
class PairForecast:
    """Two skills that a merge adds up. `harm_to_a`: the share of its gain that `a` loses to `b`.

    A harm is None where the manifests do not say it. `level` is of the worse of both; `unknown`
    where one harm is unknown and the other is not severe.
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


def forecast(
    manifests: Sequence[Manifest],
    weights: Mapping[SkillName, float],
    mode: str,
    about: Collection[SkillName] | None = None,
    *,
    method: str = SUM,
) -> Forecast:
    """Every pair of the set that `about` names a skill of; all where it is None.

    Costs about 0.2 ms a pair. `notes` names each pack whose sketch cannot be used; its pairs are
    `unknown`. Where answers are routed there is no merge, and nothing is forecast. The forecast is
    of a sum; a note says so for any other `method`.
    """
    if mode == ROUTED:
        return Forecast((), (), (_ROUTED,) if len(manifests) > 1 else (), None)
    merge = MergeSet(manifests, weights)
    met = [
        (a, b)
        for a, b in combinations(merge.skills, 2)
        if (about is None or a in about or b in about) and merge.rivals(a, b)
    ]
    pairs = [_pair(merge, a, b) for a, b in met]
    skills = [_skill(merge, skill) for skill in merge.skills]
    ordered = sorted(pairs, key=lambda pair: (-pair.worst, pair.a, pair.b))
    notes = (*merge.notes, *_left_out(merge, skills))
    others = (_OTHER.format(method),) if pairs and method != SUM else ()
    return Forecast(tuple(ordered), tuple(skills), (*notes, *others))


def _pair(merge: MergeSet, a: SkillName, b: SkillName) -> PairForecast:
    if a not in merge.deltas or b not in merge.deltas:
        return PairForecast(a, b, None, None, None, None, None, "unknown")
    ours, theirs = merge.deltas[a], merge.deltas[b]
    to_a, to_b = merge.lost_to(a, b), merge.lost_to(b, a)
    angle = cosine(ours.sketch, theirs.sketch)
    return PairForecast(a, b, overlap(ours, theirs), *angle, to_a, to_b, _level_of_both(to_a, to_b))


def _level_of_both(to_a: float | None, to_b: float | None) -> Level:
    """The level of the worse; a harm that is unknown makes it `unknown`, unless one is severe."""
    levels = [level_of(harm) for harm in (to_a, to_b)]
    worst = max(levels, key=_ORDER.index)
    return worst if worst in SEVERE or "unknown" not in levels else "unknown"


def _skill(merge: MergeSet, skill: SkillName) -> SkillForecast:
    lost = merge.lost_to_all(skill)
    return SkillForecast(skill, lost, level_of(lost))


def _left_out(merge: MergeSet, skills: Sequence[SkillForecast]) -> Iterator[str]:
    """A note where the harms of skills miss some of the others, and so are lower bounds."""
    known = [one.skill for one in skills if one.harm is not None]
    partly = [str(skill) for skill in known if merge.left_out(skill)]
    if partly:
        yield _PARTLY.format(", ".join(partly))
