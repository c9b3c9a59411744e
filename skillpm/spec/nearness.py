"""Skills whose router signatures can hardly be told apart, and which of them has precedence."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from skillpm.spec.names import SkillName


@dataclass(frozen=True, order=True)
class NearPair:
    """Two skills, sorted, that are near-equal to the router.

    `overlap` is the share of the first one's examples that the second would take, plus the share
    of the second's that the first would: 0 where the two are apart, about 1 where both are drawn
    from the same texts, 2 where one copies the other.
    """

    first: SkillName
    second: SkillName
    overlap: float

    @property
    def skills(self) -> tuple[SkillName, SkillName]:
        """Both skills."""
        return self.first, self.second


@dataclass(frozen=True)
class SignatureSurvey:
    """What comparing a set's signatures shows: near-equal pairs, and what cannot be used."""

    pairs: tuple[NearPair, ...] = ()
    unsound: Mapping[SkillName, str] = field(default_factory=lambda: MappingProxyType({}))


def near_warning(pair: NearPair, order: Sequence[SkillName]) -> str:
    """The sentence that names a near-equal pair, and which of them wins by `order`."""
    first = next((skill for skill in order if skill in pair.skills), None)
    rule = (
        f"`{first}` has precedence for texts that fit both"
        if first
        else "no `[graft] precedence` in skillpm.toml says which one wins"
    )
    return (
        f"the router signatures of `{pair.first}` and `{pair.second}` are near-equal "
        f"(overlap {pair.overlap:.2f}): {rule}"
    )


def precedence_order(
    skills: Iterable[SkillName],
    listed: Sequence[SkillName],
    direct: Iterable[SkillName] = (),
) -> tuple[SkillName, ...]:
    """The order in which near-equal skills win.

    First those that `[graft] precedence` lists, then those that the project asks for directly,
    then the others; within each of the last two by name.
    """
    asked = frozenset(direct)
    places = {skill: place for place, skill in enumerate(listed)}
    last = len(places)
    return tuple(
        sorted(skills, key=lambda skill: (places.get(skill, last), skill not in asked, skill))
    )
