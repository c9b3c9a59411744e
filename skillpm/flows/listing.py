"""`list`, `history`, `diff`: what is installed, and how it came to be. They write nothing."""

from dataclasses import dataclass

from skillpm.environment.generation import Generation, Installed
from skillpm.environment.project import Project, drift
from skillpm.flows.change import differences
from skillpm.flows.setting import Setting


@dataclass(frozen=True)
class Listing:
    """The current generation, and how project file and lock have run ahead of it."""

    generation: Generation
    notes: tuple[str, ...]


def list_installed(setting: Setting) -> Listing:
    """What is installed now."""
    project = Project(setting.project)
    return Listing(project.generation(), tuple(drift(project)))


@dataclass(frozen=True)
class History:
    """Every generation, oldest first."""

    current: int
    generations: tuple[Generation, ...]


def history(setting: Setting) -> History:
    """How the environment came to be what it is."""
    project = Project(setting.project)
    return History(project.current(), tuple(project.generations()))


@dataclass(frozen=True)
class Diff:
    """What differs between two generations; `changed` as pairs of before and after."""

    added: tuple[Installed, ...]
    removed: tuple[Installed, ...]
    changed: tuple[tuple[Installed, Installed], ...]


def diff(setting: Setting, before: int, after: int) -> Diff:
    """Compare two generations."""
    project = Project(setting.project)
    old, new = project.generation(before).installed, project.generation(after).installed
    added, removed, changed = differences(old, new)
    return Diff(added, removed, tuple((old[one.skill], one) for one in changed))
