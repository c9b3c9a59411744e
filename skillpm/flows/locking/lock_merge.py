"""The lock as a starting point for the next one: also where a merge left it in two versions."""

from contextlib import suppress
from pathlib import Path

from skillpm.environment.project import LOCK_FILE, ProjectFolder
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
    """The lock to start from, and why it must be written anew; None where it fits.

    A lock with conflict markers gives what both sides of the merge name; one that is damaged in
    any other way is as good as none.
    """
    try:
        lock = project.read_lock()
        return lock, stale_reason(file, lock)
    except ConflictMarkerError as problem:
        return merged(project.read_text(project.lock_file), file), problem.message
    except SpecError as problem:
        return None, problem.message


def merged(text: str, file: ProjectFile) -> Lockfile | None:
    """The releases that either side of a merge locks; None where neither can be read.

    Of two versions of a skill, one that skillpm.toml admits; of these the higher.
    """
    found: dict[SkillName, LockedSkill] = {}
    for side in sides(text):
        for one in _stanzas(side):
            known = found.get(one.skill)
            if known is None or _rank(one, file) > _rank(known, file):
                found[one.skill] = one
    base = LockedBase(name=Path(file.project.base).name, root=file.root)
    return Lockfile(base=base, skill=list(found.values())) if found else None


def _stanzas(side: str) -> list[LockedSkill]:
    with suppress(SpecError):
        return read_document(Lockfile, toml.parse(side, LOCK_FILE), LOCK_FILE).skill
    return []


def _rank(one: LockedSkill, file: ProjectFile) -> tuple[bool, object]:
    wish = file.skills.get(str(one.skill))
    admits = VersionRange.parse(wish.version) if wish else ANY
    return (one.version in admits, one.version)
