"""In which order facts are told: what decides comes first."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import combinations

from skillpm.resolver.facts import Asked, Fact, Missing, Needs, requirements_of
from skillpm.resolver.rules import Rules
from skillpm.spec.names import SkillName


def arranged(facts: Iterable[Fact], rules: Rules) -> tuple[Fact, ...]:
    """What is missing first, with one who asks for it; else two facts that clash; then the rest.

    Those who ask from outside come last, by what they ask for. Quadratic in the facts.
    """
    given = list(facts)
    asked = sorted((fact for fact in given if isinstance(fact, Asked)), key=_asked_key)
    rest = [fact for fact in given if not isinstance(fact, Asked)] + asked
    lead = list(_missing(rest)) or _clash(rest, rules)
    return tuple(dict.fromkeys([*lead, *rest]))


def _asked_key(fact: Asked) -> tuple[str, str]:
    return (str(fact.wanted.requirement), fact.wanted.origin)


def _missing(facts: Sequence[Fact]) -> Iterator[Fact]:
    for fact in facts:
        if isinstance(fact, Missing):
            asks = (f for f in facts if any(r.skill == fact.skill for r in requirements_of(f)))
            yield next(asks, fact)
            yield fact


def _clash(facts: Sequence[Fact], rules: Rules) -> Sequence[Fact]:
    """The first two facts about one skill that leave none of its releases."""
    for one, other in combinations(facts, 2):
        skill = _about(one)
        if skill and skill == _about(other):
            both = _leaves_over(one, skill, rules) & _leaves_over(other, skill, rules)
            if not both & rules.shelves[skill].usable:
                return (one, other)
    return ()


def _about(fact: Fact) -> SkillName | None:
    if isinstance(fact, Asked):
        return fact.wanted.requirement.skill
    return fact.others[0].skill if isinstance(fact, Needs) else None


def _leaves_over(fact: Fact, skill: SkillName, rules: Rules) -> int:
    shelf = rules.shelves[skill]
    bits = shelf.everything
    for requirement in requirements_of(fact):
        bits &= shelf.admitted(requirement.range)
    for conflict in fact.others if isinstance(fact, Needs) and fact.conflict else ():
        bits &= ~shelf.admitted(conflict.range)
    return bits
