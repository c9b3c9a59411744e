"""Who needs whom in what is installed: the edges that `tree` and `why` draw."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skillpm.environment.drift import drift
from skillpm.environment.project import ProjectFolder
from skillpm.flows.locking.lock_check import not_installed
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile

Edges = Mapping[SkillName, str]
"""Skills at the other end of a requirement, by name, each with the range that is asked for."""


@dataclass(frozen=True)
class Relations:
    """The locked releases of the current generation, and what skillpm.toml asked for then."""

    generation: int
    skills: Mapping[SkillName, LockedSkill]
    wishes: Edges
    notes: tuple[str, ...]

    @cached_property
    def requires(self) -> Mapping[SkillName, Edges]:
        """What each skill requires."""
        return {skill: _required(one, self.skills) for skill, one in self.skills.items()}

    @cached_property
    def required_by(self) -> Mapping[SkillName, Edges]:
        """What requires each skill."""
        found: dict[SkillName, dict[SkillName, str]] = {skill: {} for skill in self.skills}
        for skill, edges in self.requires.items():
            for other, range_ in edges.items():
                found[other][skill] = range_
        return found

    @property
    def lowest(self) -> list[SkillName]:
        """The skills that require nothing; of a ring that requires only itself, one."""
        found = [skill for skill, edges in self.requires.items() if not edges]
        seen = _reached(self.required_by, found)
        for skill in self.skills:
            if skill not in seen:
                found.append(skill)
                seen |= _reached(self.required_by, [skill])
        return found

    def chains(self, skill: SkillName) -> list[tuple[SkillName, ...]]:
        """For each wish that leads to `skill`, the shortest way: the wish first, `skill` last.

        Raises `UnknownSkillError` for a skill that is not installed.
        """
        if skill not in self.skills:
            raise not_installed(skill, self.skills)
        ways = (_shortest(self.requires, wish, skill) for wish in self.wishes)
        return sorted((way for way in ways if way), key=lambda way: (len(way), way))


def relations_of(folder: Path) -> Relations:
    """The relations of what is installed now; reads no registry."""
    project = ProjectFolder(folder)
    generation = project.generation()
    plain = {"project": {"base": "-", "root": str(generation.base_root)}}
    wished = ProjectFile.model_validate({**plain, "skills": generation.wishes}).project_requirements
    skills = generation.lockfile.skills
    wishes = {skill: wish.version for skill, wish in wished.items() if skill in skills}
    return Relations(generation.number, skills, wishes, tuple(drift(project)))


def _required(one: LockedSkill, skills: Mapping[SkillName, LockedSkill]) -> dict[SkillName, str]:
    found: dict[SkillName, str] = {}
    for need in sorted(one.requires, key=lambda need: (need.skill, str(need.range))):
        if need.skill in skills:
            known = found.get(need.skill)
            found[need.skill] = f"{known}, {need.range}" if known else str(need.range)
    return found


def _reached(edges: Mapping[SkillName, Edges], starts: list[SkillName]) -> set[SkillName]:
    seen, queue = set[SkillName](), list(starts)
    while queue:
        skill = queue.pop()
        if skill not in seen:
            seen.add(skill)
            queue.extend(edges[skill])
    return seen


def _shortest(
    edges: Mapping[SkillName, Edges], start: SkillName, goal: SkillName
) -> tuple[SkillName, ...]:
    """The shortest way from `start` to `goal`, the first by name; empty where there is none."""
    came: dict[SkillName, SkillName | None] = {start: None}
    queue = deque([start])
    while queue and goal not in came:
        skill = queue.popleft()
        for other in edges[skill]:
            if other not in came:
                came[other] = skill
                queue.append(other)
    way: list[SkillName] = []
    at: SkillName | None = goal if goal in came else None
    while at is not None:
        way.append(at)
        at = came[at]
    return tuple(reversed(way))
