"""`list`, `history`, `diff`: the installed set, its generations, and differences of two sets.

These flows write nothing. They import little, because they should answer fast.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from skillpm.environment.drift import drift
from skillpm.environment.generation import Entry, Generation, differences
from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError, SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import parse_lockfile
from skillpm.spec.names import SkillName


@dataclass(frozen=True)
class Listing:
    """The current generation, and notes on changes of project file and lock since then."""

    generation: Generation
    notes: tuple[str, ...]


def list_installed(folder: Path) -> Listing:
    """Return the installed set."""
    project = ProjectFolder(folder)
    generation = project.generation()
    return Listing(generation, tuple(drift(project, generation)))


def installed_names(folder: Path) -> list[str]:
    """Return the names of the installed skills; an empty list if they cannot be read."""
    try:
        return [str(skill) for skill in ProjectFolder(folder).generation().installed]
    except SkillpmError:
        return []


@dataclass(frozen=True)
class History:
    """Every generation, oldest first."""

    current: int
    generations: tuple[Generation, ...]


def history(folder: Path) -> History:
    """Return every generation of the environment."""
    project = ProjectFolder(folder)
    return History(project.current(), tuple(project.generations()))


@dataclass(frozen=True)
class ComparedSet:
    """One of two compared sets: root of its base, its releases, and how they are merged."""

    base_root: Digest
    releases: Mapping[SkillName, Entry]
    merge_options: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Diff:
    """The differences between two sets. `changed` has pairs of (before, after).

    `merge_options` is how each set is merged, or None for a pruned generation.
    """

    bases: tuple[Digest, Digest]
    merge_options: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[tuple[Entry, Entry], ...]


def generation_side(folder: Path, number: int | None) -> ComparedSet:
    """Return the set of a generation; without a number, of the current one."""
    generation = ProjectFolder(folder).generation(number)
    merge_options = None if generation.pruned else generation.lockfile.graft.merge_options
    return ComparedSet(generation.base_root, generation.installed, merge_options)


def lock_side(data: bytes, what: str) -> ComparedSet:
    """Return the set of a lock. Raises `SpecError`, which lists every problem."""
    try:
        lock = parse_lockfile(data.decode(), what)
    except UnicodeDecodeError as problem:
        raise SpecError(f"{what} is not UTF-8") from problem
    return ComparedSet(lock.base.root, lock.skills, lock.graft.merge_options)


def diff(before: ComparedSet, after: ComparedSet) -> Diff:
    """Compare two sets."""
    old = before.releases
    added, removed, changed = differences(old, after.releases)
    pairs = tuple((old[entry.skill], entry) for entry in changed)
    bases, merge_options = (
        (before.base_root, after.base_root),
        (before.merge_options, after.merge_options),
    )
    return Diff(bases, merge_options, added, removed, pairs)
