"""Check whether a lock satisfies its project file, without asking a registry."""

from collections.abc import Iterable, Iterator, Mapping

from skillpm.errors import UnknownSkillError
from skillpm.spec.closure import closure
from skillpm.spec.lockfile import LockedGraft, LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.nearest import did_you_mean
from skillpm.spec.project import ProjectFile
from skillpm.spec.requirements import Requirement


def stale_reason(file: ProjectFile, lock: Lockfile | None) -> str | None:
    """The first reason why the lock does not satisfy the project file; None if it does."""
    if lock is None:
        return "there is no skillpm.lock"
    return next(_stale_reasons(file, lock), None)


def _stale_reasons(file: ProjectFile, lock: Lockfile) -> Iterator[str]:
    if lock.base.root != file.root:
        yield "skillpm.toml names another base"
    if lock.graft.merge_options != LockedGraft.of(file.graft).merge_options:
        yield "`[graft]` asks for another mode, method or settings"
    if lock.graft.precedence != file.graft.precedence:
        yield "`[graft] precedence` asks for another order"
    locked = lock.skills
    for need in file.requirements:
        if not _admits(locked, need):
            yield f"skillpm.toml asks for `{need}`"
    for skill, entry in locked.items():
        asked = file.skills.get(str(skill))
        if entry.weight != (asked.weight if asked else 1.0):
            yield f"skillpm.toml gives `{skill}` another weight"
        if entry.registry != file.registry_of(skill):
            yield f"skillpm.toml looks `{skill}` up in another registry"
        unmet = [need for need in entry.requires if not _admits(locked, need)]
        yield from (f"`{entry.ref}` requires `{need}`" for need in unmet)
    extra = locked.keys() - reachable(locked, file.project_requirements)
    yield from (f"nothing asks for `{skill}` any more" for skill in sorted(extra))


def _admits(locked: Mapping[SkillName, LockedSkill], need: Requirement) -> bool:
    """Whether the locked release of the skill satisfies the requirement."""
    entry = locked.get(need.skill)
    return entry is not None and need.admits(entry.skill, entry.version)


def reachable(
    locked: Mapping[SkillName, LockedSkill], roots: Iterable[SkillName]
) -> set[SkillName]:
    """The skills that these roots require, directly or indirectly, and the roots themselves."""

    def required(skill: SkillName) -> Iterator[SkillName]:
        return (need.skill for need in locked[skill].requires if need.skill in locked)

    return closure((skill for skill in roots if skill in locked), required)


def prune(lock: Lockfile, roots: Iterable[SkillName]) -> Lockfile:
    """The lock with only the skills that these roots require.

    If a skill is dropped, the graft's root is dropped too: it is no longer valid.
    """
    keep = reachable(lock.skills, roots)
    kept = [entry for skill, entry in lock.skills.items() if skill in keep]
    graft = lock.graft.with_precedence(keep)
    pruned = lock.model_copy(update={"skill": kept, "graft": graft})
    return pruned if len(kept) == len(lock.skill) else pruned.with_root(None)


def not_installed(skill: SkillName, installed: Iterable[SkillName]) -> UnknownSkillError:
    """The error for a skill that is not installed; the hint names the most similar skill."""
    hint = did_you_mean(str(skill), map(str, installed), otherwise="`skillpm list`")
    return UnknownSkillError(f"`{skill}` is not installed", hint=hint)
