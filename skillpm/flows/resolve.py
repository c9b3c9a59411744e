"""`resolve --index FILE`: resolve against a saved index, with no registry, base or project."""

from collections.abc import Callable
from pathlib import Path

from skillpm.checkpoint.model import read_small
from skillpm.errors import ResolutionError, UnknownSkillError
from skillpm.resolver.question import Question, Wanted
from skillpm.resolver.solve import solve
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.savedindex import parse_index
from skillpm.spec.versions import Version


def resolve_saved(
    index: Path, requirements: tuple[Requirement, ...], expired: Callable[[], bool]
) -> dict[SkillName, Version]:
    """The versions that would be installed."""
    saved = parse_index(read_small(index))
    wanted = tuple(Wanted(need, "the command line") for need in requirements)
    try:
        found = solve(Question(wanted), saved, expired=expired)
    except (ResolutionError, UnknownSkillError) as problem:
        problem.hint = None  # hints speak of registries, and none is asked here
        raise
    return {skill: release.version for skill, release in found.releases.items()}
