"""Whether a lock still answers its project file, told without any registry."""

from collections.abc import Iterable, Iterator, Mapping

from skillpm.errors import UnknownSkillError
from skillpm.spec.lockfile import LockedGraft, LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.nearest import did_you_mean
from skillpm.spec.project import ProjectFile
from skillpm.spec.requirements import Requirement


def stale_reason(file: ProjectFile, lock: Lockfile | None) -> str | None:
    """Why the lock does not fit what the project file asks for; None where it does."""
    if lock is None:
        return "there is no skillpm.lock"
    return next(_misfits(file, lock), None)


def _misfits(file: ProjectFile, lock: Lockfile) -> Iterator[str]:
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
    for skill, one in locked.items():
        wish = file.skills.get(str(skill))
        if one.weight != (wish.weight if wish else 1.0):
            yield f"skillpm.toml gives `{skill}` another weight"
        if one.registry != file.registry_of(skill):
            yield f"skillpm.toml looks `{skill}` up in another registry"
        yield from (f"`{one.ref}` requires `{n}`" for n in one.requires if not _admits(locked, n))
    extra = locked.keys() - reachable(locked, file.project_requirements)
    yield from (f"nothing asks for `{skill}` any more" for skill in sorted(extra))


def _admits(locked: Mapping[SkillName, LockedSkill], need: Requirement) -> bool:
    one = locked.get(need.skill)
    return one is not None and need.admits(one.skill, one.version)


def reachable(
    locked: Mapping[SkillName, LockedSkill], roots: Iterable[SkillName]
) -> set[SkillName]:
    """The skills that these roots need, themselves included."""
    found: set[SkillName] = set()
    queue = [skill for skill in roots if skill in locked]
    while queue:
        skill = queue.pop()
        if skill not in found:
            found.add(skill)
            queue.extend(need.skill for need in locked[skill].requires if need.skill in locked)
    return found


def prune(lock: Lockfile, roots: Iterable[SkillName]) -> Lockfile:
    """The lock with only what these roots need; the graft's root goes with what was dropped."""
    keep = reachable(lock.skills, roots)
    kept = [one for skill, one in lock.skills.items() if skill in keep]
    graft = lock.graft.with_precedence(keep)
    pruned = lock.model_copy(update={"skill": kept, "graft": graft})
    return pruned if len(kept) == len(lock.skill) else pruned.with_root(None)


def not_installed(skill: SkillName, installed: Iterable[SkillName]) -> UnknownSkillError:
    """The error for a skill that is not there, with the nearest one that is."""
    hint = did_you_mean(str(skill), map(str, installed), otherwise="`skillpm list`")
    return UnknownSkillError(f"`{skill}` is not installed", hint=hint)
