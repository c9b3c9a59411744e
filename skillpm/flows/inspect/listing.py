"""`list`, `history`, `diff`: what is installed, and how it came to be.

They write nothing, and import little: people run them at every turn.
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
    """The current generation, and how project file and lock have run ahead of it."""

    generation: Generation
    notes: tuple[str, ...]


def list_installed(folder: Path) -> Listing:
    """What is installed now."""
    project = ProjectFolder(folder)
    return Listing(project.generation(), tuple(drift(project)))


def installed_names(folder: Path) -> list[str]:
    """The installed skills by name; none where that cannot be told."""
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
    """How the environment came to be what it is."""
    project = ProjectFolder(folder)
    return History(project.current(), tuple(project.generations()))


@dataclass(frozen=True)
class ComparedSet:
    """One of two sets to compare: its base's root, its releases, and how they are grafted."""

    base_root: Digest
    releases: Mapping[SkillName, Entry]
    manner: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Diff:
    """What differs between two sets; `changed` as pairs of before and after.

    `manners` is how each is grafted, None for one that was pruned.
    """

    bases: tuple[Digest, Digest]
    manners: tuple[Mapping[str, Any] | None, Mapping[str, Any] | None]
    added: tuple[Entry, ...]
    removed: tuple[Entry, ...]
    changed: tuple[tuple[Entry, Entry], ...]


def generation_side(folder: Path, number: int | None) -> ComparedSet:
    """What a generation has installed; the current one without a number."""
    found = ProjectFolder(folder).generation(number)
    manner = None if found.pruned else found.lockfile.graft.merge_options
    return ComparedSet(found.base_root, found.installed, manner)


def lock_side(data: bytes, what: str) -> ComparedSet:
    """What a lock names. Raises `SpecError` with every problem."""
    try:
        lock = parse_lockfile(data.decode(), what)
    except UnicodeDecodeError as problem:
        raise SpecError(f"{what} is not UTF-8") from problem
    return ComparedSet(lock.base.root, lock.skills, lock.graft.merge_options)


def diff(before: ComparedSet, after: ComparedSet) -> Diff:
    """Compare two sets."""
    old = before.releases
    added, removed, changed = differences(old, after.releases)
    pairs = tuple((old[one.skill], one) for one in changed)
    bases, manners = (before.base_root, after.base_root), (before.manner, after.manner)
    return Diff(bases, manners, added, removed, pairs)
