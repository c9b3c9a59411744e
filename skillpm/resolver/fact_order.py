"""The order of facts in an explanation: the decisive facts come first."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from skillpm.resolver.facts import (
    Fact,
    MissingFact,
    RequestedFact,
    RequirementFact,
    requirements_of,
)
from skillpm.resolver.rules import Rules
from skillpm.spec.names import SkillName

COMPARED = 40
"""Facts about one skill that are compared in pairs."""


def order_facts(facts: Iterable[Fact], rules: Rules) -> tuple[Fact, ...]:
    """Missing releases with a fact that requires them, else two facts that exclude each other.

    The other facts follow, and the root requirements come last, sorted by text. Linear in the
    facts: only the first `COMPARED` facts about one skill are compared in pairs.
    """
    all_facts = list(facts)
    roots = sorted((fact for fact in all_facts if isinstance(fact, RequestedFact)), key=_root_key)
    rest = [fact for fact in all_facts if not isinstance(fact, RequestedFact)] + roots
    decisive = list(_missing(rest)) or _exclusive_pair(rest, rules)
    return tuple(dict.fromkeys([*decisive, *rest]))


def _root_key(fact: RequestedFact) -> tuple[str, str]:
    return (str(fact.wanted.requirement), fact.wanted.origin)


def _missing(facts: Sequence[Fact]) -> Iterator[Fact]:
    requiring: dict[SkillName, Fact] = {}
    for fact in facts:
        for requirement in requirements_of(fact):
            requiring.setdefault(requirement.skill, fact)
    for fact in facts:
        if isinstance(fact, MissingFact):
            yield requiring.get(fact.skill, fact)
            yield fact


def _exclusive_pair(facts: Sequence[Fact], rules: Rules) -> Sequence[Fact]:
    """The first two facts about the same skill that together exclude all its releases."""
    by_skill: dict[SkillName, list[tuple[int, Fact]]] = {}
    for position, fact in enumerate(facts):
        skill = _target_of(fact)
        if skill and len(by_skill.setdefault(skill, [])) < COMPARED:
            by_skill[skill].append((position, fact))
    first: tuple[tuple[int, Fact], ...] = ()
    for skill, facts_of_skill in by_skill.items():
        allowed = {
            position: _allowed_releases(fact, skill, rules) for position, fact in facts_of_skill
        }
        usable = rules.release_sets[skill].usable
        for pair in combinations(facts_of_skill, 2):
            if not allowed[pair[0][0]] & allowed[pair[1][0]] & usable:
                first = min(first or pair, pair, key=_positions)
                break
    return [fact for _, fact in first]


def _positions(pair: tuple[tuple[int, Fact], ...]) -> list[int]:
    return [position for position, _ in pair]


def _target_of(fact: Fact) -> SkillName | None:
    if isinstance(fact, RequestedFact):
        return fact.wanted.requirement.skill
    return fact.others[0].skill if isinstance(fact, RequirementFact) else None


def _allowed_releases(fact: Fact, skill: SkillName, rules: Rules) -> int:
    release_set = rules.release_sets[skill]
    bits = release_set.all_releases
    for requirement in requirements_of(fact):
        bits &= release_set.admitted(requirement.range)
    for conflict in fact.others if isinstance(fact, RequirementFact) and fact.conflict else ():
        bits &= ~release_set.admitted(conflict.range)
    return bits
