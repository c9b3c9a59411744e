"""`resolve --index FILE`: resolve against a saved index, without a registry, base or project."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.checkpoint.model import read_small
from skillpm.errors import ResolutionError, UnknownSkillError
from skillpm.resolver.deadline import Deadline
from skillpm.resolver.question import COMMAND_LINE, Question, RootRequirement
from skillpm.resolver.solve import solve
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.requirements import Requirement
from skillpm.spec.savedindex import parse_index
from skillpm.spec.versions import Version


@dataclass(frozen=True)
class SavedRequest:
    """The input of a resolution against a saved index.

    `root` is the base's root. Without it, the resolver chooses any base that all releases share.
    """

    requirements: tuple[Requirement, ...]
    root: Digest | None = None
    allow_yanked: bool = False
    lowest: bool = False


def resolve_saved(
    index: Path, request: SavedRequest, deadline: Deadline
) -> dict[SkillName, Version]:
    """The versions that `install` chooses, given this index."""
    saved = parse_index(read_small(index))
    question = Question(
        tuple(RootRequirement(need, COMMAND_LINE) for need in request.requirements),
        base=request.root,
        allow_yanked=request.allow_yanked,
        lowest=request.lowest,
        source=f"`--index {index}`",
    )
    try:
        answer = solve(question, saved, deadline)
    except (ResolutionError, UnknownSkillError) as problem:
        problem.hint = None  # the hints name registries, and this command uses none
        raise
    return {skill: release.version for skill, release in answer.releases.items()}
