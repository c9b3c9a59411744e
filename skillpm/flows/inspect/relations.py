"""The requirements between installed skills, which `tree` and `why` show."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from skillpm.environment.drift import drift
from skillpm.environment.project import ProjectFolder
from skillpm.flows.locking.lock_check import not_installed
from skillpm.spec.closure import closure
from skillpm.spec.lockfile import LockedBase, LockedSkill
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile

Edges = Mapping[SkillName, str]
"""The skills that a skill requires, or that require it, each with the version range."""


@dataclass(frozen=True)
class Relations:
    """The releases of the current generation, and the requirements of skillpm.toml at the time."""

    generation: int
    skills: Mapping[SkillName, LockedSkill]
    requirements: Edges
    notes: tuple[str, ...]
    base: LockedBase

    @cached_property
    def requires(self) -> Mapping[SkillName, Edges]:
        """The installed skills that each skill requires."""
        return {skill: _required(locked, self.skills) for skill, locked in self.skills.items()}

    @cached_property
    def required_by(self) -> Mapping[SkillName, Edges]:
        """The installed skills that require each skill."""
        edges_to: dict[SkillName, dict[SkillName, str]] = {skill: {} for skill in self.skills}
        for skill, edges in self.requires.items():
            for required, range_ in edges.items():
                edges_to[required][skill] = range_
        return edges_to

    @property
    def lowest(self) -> list[SkillName]:
        """The skills without requirements, and one skill of each cycle that needs only itself."""
        skills = [skill for skill, edges in self.requires.items() if not edges]
        reached = closure(skills, self.required_by.__getitem__)
        for skill in self.skills:
            if skill not in reached:
                skills.append(skill)
                reached |= closure([skill], self.required_by.__getitem__)
        return skills

    def reached(
        self,
        roots: Iterable[SkillName],
        invert: bool,  # noqa: FBT001 - named by the command's options
        depth: int | None,
    ) -> list[SkillName]:
        """Return the skills that `tree` shows: the roots, and `depth` levels of what they require.

        With `invert`, what requires them.
        """
        edges = self.required_by if invert else self.requires
        levels = dict.fromkeys(roots, 0)
        queue = deque(levels)
        while queue:
            skill = queue.popleft()
            if depth is None or levels[skill] < depth:
                for neighbour in edges[skill]:
                    if neighbour not in levels:
                        levels[neighbour] = levels[skill] + 1
                        queue.append(neighbour)
        return list(levels)

    def chains(self, skill: SkillName) -> list[tuple[SkillName, ...]]:
        """Return the shortest path to `skill` from each requirement of the project that needs it.

        A path starts with the required skill and ends with `skill`. Raises `UnknownSkillError` for
        a skill that is not installed.
        """
        if skill not in self.skills:
            raise not_installed(skill, self.skills)
        paths = (_shortest(self.requires, start, skill) for start in self.requirements)
        return sorted((path for path in paths if path), key=lambda path: (len(path), path))


def relations_of(folder: Path) -> Relations:
    """Return the relations of the installed set; reads no registry."""
    project = ProjectFolder(folder)
    generation = project.generation()
    document = {
        "project": {"base": "-", "root": str(generation.base_root)},
        "skills": generation.wishes,
    }
    file = ProjectFile.model_validate(document)
    skills = generation.lockfile.skills
    requirements = {
        skill: r.version for skill, r in file.project_requirements.items() if skill in skills
    }
    base = generation.lockfile.base
    notes = tuple(drift(project, generation))
    return Relations(generation.number, skills, requirements, notes, base)


def _required(locked: LockedSkill, skills: Mapping[SkillName, LockedSkill]) -> dict[SkillName, str]:
    ranges: dict[SkillName, str] = {}
    for need in sorted(locked.requires, key=lambda need: (need.skill, str(need.range))):
        if need.skill in skills:
            earlier = ranges.get(need.skill)
            ranges[need.skill] = f"{earlier}, {need.range}" if earlier else str(need.range)
    return ranges


def _shortest(
    edges: Mapping[SkillName, Edges], start: SkillName, goal: SkillName
) -> tuple[SkillName, ...]:
    """Return a shortest path from `start` to `goal`; empty if there is none."""
    previous: dict[SkillName, SkillName | None] = {start: None}
    queue = deque([start])
    while queue and goal not in previous:
        skill = queue.popleft()
        for neighbour in edges[skill]:
            if neighbour not in previous:
                previous[neighbour] = skill
                queue.append(neighbour)
    path: list[SkillName] = []
    step: SkillName | None = goal if goal in previous else None
    while step is not None:
        path.append(step)
        step = previous[step]
    return tuple(reversed(path))
