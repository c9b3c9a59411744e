"""`list`, `history`, `diff`: what is installed, and how it came to be.

They write nothing, and import little: people run them at every turn.
"""

from dataclasses import dataclass
from pathlib import Path

from skillpm.environment.generation import Generation, Installed, differences
from skillpm.environment.project import Project, drift
from skillpm.errors import SkillpmError


@dataclass(frozen=True)
class Listing:
    """The current generation, and how project file and lock have run ahead of it."""

    generation: Generation
    notes: tuple[str, ...]


def list_installed(folder: Path) -> Listing:
    """What is installed now."""
    project = Project(folder)
    return Listing(project.generation(), tuple(drift(project)))


def installed_names(folder: Path) -> list[str]:
    """The installed skills by name; none where that cannot be told."""
    try:
        return [str(skill) for skill in Project(folder).generation().installed]
    except SkillpmError:
        return []


@dataclass(frozen=True)
class History:
    """Every generation, oldest first."""

    current: int
    generations: tuple[Generation, ...]


def history(folder: Path) -> History:
    """How the environment came to be what it is."""
    project = Project(folder)
    return History(project.current(), tuple(project.generations()))


@dataclass(frozen=True)
class Diff:
    """What differs between two generations; `changed` as pairs of before and after."""

    added: tuple[Installed, ...]
    removed: tuple[Installed, ...]
    changed: tuple[tuple[Installed, Installed], ...]


def diff(folder: Path, before: int, after: int) -> Diff:
    """Compare two generations."""
    project = Project(folder)
    old, new = project.generation(before).installed, project.generation(after).installed
    added, removed, changed = differences(old, new)
    return Diff(added, removed, tuple((old[one.skill], one) for one in changed))
