"""Read the lock that the next lock starts from, also if it has Git conflict markers."""

from contextlib import suppress

from skillpm.environment.project import ProjectFolder
from skillpm.environment.search import LOCK_FILE
from skillpm.errors import SpecError
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.spec import toml
from skillpm.spec.conflict import ConflictMarkerError, sides
from skillpm.spec.fields import read_document
from skillpm.spec.lockfile import LockedBase, LockedSkill, Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.spec.requirements import ANY, VersionRange


def read_or_merge(project: ProjectFolder, file: ProjectFile) -> tuple[Lockfile | None, str | None]:
    """The lock to start from, and the reason why it must be rewritten; None if it is up to date.

    A lock with conflict markers gives the releases of both sides of the merge. A lock that cannot
    be read for another reason counts as missing.
    """
    try:
        lock = project.read_lock()
        return lock, stale_reason(file, lock)
    except ConflictMarkerError as problem:
        return merge_sides(project.read_text(project.lock_file), file), problem.message
    except SpecError as problem:
        return None, problem.message


def merge_sides(text: str, file: ProjectFile) -> Lockfile | None:
    """The releases that either side of a merge locks; None if neither side can be read.

    If the sides lock two versions of a skill, a version that skillpm.toml admits is preferred, then
    the higher version.
    """
    chosen: dict[SkillName, LockedSkill] = {}
    for side in sides(text):
        for entry in _entries(side):
            known = chosen.get(entry.skill)
            if known is None or _rank(entry, file) > _rank(known, file):
                chosen[entry.skill] = entry
    base = LockedBase(name=file.base_name, root=file.root)
    return Lockfile(base=base, skill=list(chosen.values())) if chosen else None


def _entries(side: str) -> list[LockedSkill]:
    """The locked skills of one side; none if that side is not a valid lock."""
    with suppress(SpecError):
        return read_document(Lockfile, toml.parse(side, LOCK_FILE), LOCK_FILE).skill
    return []


def _rank(entry: LockedSkill, file: ProjectFile) -> tuple[bool, object]:
    """The sort key that prefers a version that skillpm.toml admits, then a higher version."""
    asked = file.skills.get(str(entry.skill))
    admitted = VersionRange.parse(asked.version) if asked else ANY
    return (entry.version in admitted, entry.version)
