"""Small random indexes, a catalogue in memory, and an oracle based on a SAT solver."""

import random
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import combinations
from string import ascii_lowercase
from typing import Any

from pysat.solvers import Cadical153

from skillpm.resolver.question import Question, RootRequirement
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.release import Release
from skillpm.spec.requirements import Requirement
from skillpm.spec.versions import Version

BASES = tuple(Digest.of(name.encode()) for name in ("one", "two", "three"))
VERSIONS = ("1.0.0", "1.1.0", "1.2.0-rc.1", "2.0.0-beta.2", "2.0.0", "3.0.0")
RANGES = (
    *("*", "*", "*", "^1", "^1", "^2", "<2", "<3", ">=1.1", ">=2", "=2.0.0"),
    *("^1.2.0-rc.1", ">=1.0.0-beta", ">=2.0.0-beta, <3", "^9"),
)

Pick = Callable[[Sequence[Any]], Any]


class Shop:
    """A catalogue in memory that counts its queries."""

    def __init__(self, releases: Collection[Release]) -> None:
        self.by_skill: dict[SkillName, list[Release]] = {}
        self.queries: list[list[SkillName]] = []
        for release in releases:
            self.by_skill.setdefault(release.skill, []).append(release)

    def releases(self, skills: Collection[SkillName]) -> Mapping[SkillName, Sequence[Release]]:
        self.queries.append(list(skills))
        return {skill: self.by_skill[skill] for skill in skills if skill in self.by_skill}


def skill(text: str) -> SkillName:
    return SkillName.parse(f"acme/{text}")


def wanted(*texts: str) -> tuple[RootRequirement, ...]:
    return tuple(
        RootRequirement(Requirement.parse(f"acme/{text}"), f"skillpm.toml:{line}")
        for line, text in enumerate(texts, start=7)
    )


def release(text: str, *requires: str, **more: Any) -> Release:
    name, version = text.split()
    conflicts = tuple(Requirement.parse(f"acme/{c}") for c in more.pop("conflicts", ()))
    needs = tuple(Requirement.parse(f"acme/{r}") for r in requires)
    return Release(skill(name), Version.parse(version), requires=needs, conflicts=conflicts, **more)


def make_world(pick: Pick, *, skills: int) -> tuple[Question, list[Release]]:
    """A random index of up to `skills` skills; `pick` makes every choice."""
    names = [skill(letter) for letter in ascii_lowercase[:skills]]
    strangers = [*names * 5, skill("absent")]

    def some(odds: Sequence[int]) -> tuple[Requirement, ...]:
        return tuple(_requirement(pick, strangers) for _ in range(pick(odds)))

    releases = [
        Release(
            name,
            Version.parse(text),
            digest=Digest.of(f"{name} {text}".encode()),
            base=pick((None, *BASES[:2], *BASES[:1] * 4)),
            requires=some((0, 0, 1, 1, 2)),
            conflicts=some((0,) * 5 + (1,)),
            yanked=pick((False,) * 5 + (True,)),
        )
        for name in names
        for text in VERSIONS
        if pick((True, True, False))
    ]
    known = sorted({r.skill for r in releases})
    if not known:
        return Question(()), []
    locks = [r for r in releases if pick((False, False, False, True))]
    question = Question(
        tuple(
            RootRequirement(_requirement(pick, known), "the test") for _ in range(pick((1, 2, 3)))
        ),
        base=pick((None, None, BASES[0])),
        locked={r.skill: r.version for r in locks},
        accepted=frozenset(r.digest for r in releases if r.digest and pick((False,) * 5 + (True,))),
        admitted=frozenset((r.skill, r.version) for r in releases if pick((False,) * 9 + (True,))),
        allow_yanked=pick((False,) * 9 + (True,)),
        lowest=pick((False,) * 4 + (True,)),
    )
    return question, releases


def _requirement(pick: Pick, names: Sequence[SkillName]) -> Requirement:
    return Requirement.parse(f"{pick(names)} {pick(RANGES)}")


def random_world(seed: int, *, skills: int) -> tuple[Question, list[Release]]:
    return make_world(random.Random(seed).choice, skills=skills)


def candidates(question: Question, releases: Collection[Release]) -> list[Release]:
    """The releases that an answer may contain by the product contract."""
    return [
        r
        for r in releases
        if (
            not r.yanked
            or question.allow_yanked
            or question.locked.get(r.skill) == r.version
            or (r.skill, r.version) in question.admitted
        )
        and (
            question.base is None
            or r.base in (None, question.base)
            or (r.digest in question.accepted)
        )
    ]


def problems(
    question: Question, releases: Collection[Release], answer: Mapping[SkillName, Release]
) -> Iterator[str]:
    """Every way in which an answer violates the product contract."""
    allowed = candidates(question, releases)
    chosen = list(answer.values())
    yield from (f"{r.ref} may not be chosen" for r in chosen if r not in allowed)
    needs = [w.requirement for w in question.wanted] + [n for r in chosen for n in r.requires]
    for need in needs:
        if not any(need.admits(r.skill, r.version) for r in chosen):
            yield f"nothing satisfies {need}"
    for one, other in combinations(chosen, 2):
        if not together(question, one, other):
            yield f"{one.ref} and {other.ref} conflict"
    reached = {need.skill for need in needs}
    yield from (f"{name} is not needed" for name in answer if name not in reached)


def together(question: Question, one: Release, other: Release) -> bool:
    if one.skill == other.skill:
        return False
    if any(c.admits(other.skill, other.version) for c in one.conflicts):
        return False
    if any(c.admits(one.skill, one.version) for c in other.conflicts):
        return False
    return bool(question.base) or not one.base or not other.base or one.base == other.base


class Oracle:
    """The contract as clauses for a SAT solver."""

    def __init__(self, question: Question, releases: Collection[Release]) -> None:
        self.question = question
        self.pool = candidates(question, releases)
        self.number = {id(r): n for n, r in enumerate(self.pool, start=1)}
        self.solver = Cadical153()
        for w in question.wanted:
            self.solver.add_clause(self._any(w.requirement))
        for r in self.pool:
            for need in r.requires:
                self.solver.add_clause([-self.number[id(r)], *self._any(need)])
        for one, other in combinations(self.pool, 2):
            if not together(question, one, other):
                self.solver.add_clause([-self.number[id(one)], -self.number[id(other)]])

    def _any(self, need: Requirement) -> list[int]:
        return [self.number[id(r)] for r in self.pool if need.admits(r.skill, r.version)]

    def satisfiable(self, *chosen: Release) -> bool:
        return bool(self.solver.solve([self.number[id(r)] for r in chosen]))

    def first_answer(self) -> dict[SkillName, Release] | None:
        """The documented answer, found by one SAT query per release."""
        if not self.satisfiable():
            return None
        chosen: list[Release] = []
        while open_skills := self._reached(chosen) - {r.skill for r in chosen}:
            chosen.append(self._best(min(open_skills, key=self._rank), chosen))
        return {r.skill: r for r in sorted(chosen, key=lambda r: r.skill)}

    def _reached(self, chosen: Sequence[Release]) -> set[SkillName]:
        asked = {w.requirement.skill for w in self.question.wanted}
        return asked | {need.skill for r in chosen for need in r.requires}

    def _rank(self, name: SkillName) -> tuple[bool, bool, bool, int, str]:
        asked = {w.requirement.skill for w in self.question.wanted}
        leaf = not any(r.requires for r in self.pool if r.skill == name)
        locked = name in self.question.locked
        return (not locked, name not in asked, leaf, self._depth(name, asked), str(name))

    def _depth(self, name: SkillName, level: set[SkillName]) -> int:
        depth, seen = 0, set[SkillName]()
        while name not in level:
            seen |= level
            level = {n.skill for r in self.pool if r.skill in level for n in r.requires} - seen
            depth += 1
        return depth

    def _best(self, name: SkillName, chosen: Sequence[Release]) -> Release:
        locked = self.question.locked.get(name)
        mine = [r for r in self.pool if r.skill == name]
        mine.sort(key=lambda r: r.version, reverse=not self.question.lowest)
        for r in sorted(mine, key=lambda r: r.version != locked):
            if self.satisfiable(*chosen, r):
                return r
        raise AssertionError(name)
