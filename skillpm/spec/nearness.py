"""Near-equal router signatures: skills that the router can hardly distinguish."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from skillpm.spec.names import SkillName


@dataclass(frozen=True, order=True)
class NearPair:
    """Two skills, sorted by name, with near-equal router signatures.

    `overlap` is the share of the first skill's examples that the second would take, plus the share
    of the second's that the first would take: 0 if the skills are distinct, about 1 if both come
    from the same texts, 2 if one is a copy of the other.
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
    """The near-equal pairs of a set, and the skills with an unusable signature and the reason."""

    pairs: tuple[NearPair, ...] = ()
    unsound: Mapping[SkillName, str] = field(default_factory=lambda: MappingProxyType({}))


def near_warning(pair: NearPair, order: Sequence[SkillName]) -> str:
    """The warning about a near-equal pair, with the skill that has precedence by `order`."""
    first = next((skill for skill in order if skill in pair.skills), None)
    rule = (
        f"`{first}` has precedence for texts that fit both"
        if first
        else "`precedence` in `[graft]` of skillpm.toml lists neither"
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
    """The skills in order of precedence among near-equal signatures.

    First the skills listed in `[graft] precedence`, then the project's direct requirements by name,
    then the others by name.
    """
    required = frozenset(direct)
    ranks = {skill: rank for rank, skill in enumerate(listed)}
    last = len(ranks)
    return tuple(
        sorted(skills, key=lambda skill: (ranks.get(skill, last), skill not in required, skill))
    )
