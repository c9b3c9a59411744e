"""`audit`: is everything that is installed still what it should be, and may it be trusted."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from skillpm.checkpoint.folder import STAMP, is_graft
from skillpm.environment.project import Project
from skillpm.errors import IntegrityError, NotFoundError, RegistryError, SkillpmError
from skillpm.flows.assemble import check_graft, read_stamp
from skillpm.flows.base import check_base, open_base
from skillpm.flows.catalogue import Registries
from skillpm.flows.fit import misfit
from skillpm.flows.graft import DEFAULT_TARGET, stamp_of
from skillpm.flows.setting import Setting, open_model
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.store.packs import StoredPack, load_pack

LEVELS = ("low", "medium", "high", "critical")


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong, how badly, and with which skill if with one."""

    level: str
    code: str
    skill: str | None
    message: str


@dataclass(frozen=True)
class Audited:
    """All findings, the worst first, and how many things were checked."""

    findings: tuple[Finding, ...]
    checked: int

    def fails(self, level: str) -> bool:
        """Whether a finding is at or above `level`."""
        return any(LEVELS.index(f.level) >= LEVELS.index(level) for f in self.findings)


Check = Callable[[], Iterator[Finding]]


def audit(setting: Setting) -> Audited:
    """Check every blob, the base, the graft on disk, yanks, and what packs say of themselves.

    Reads every byte again: no cache is believed. Writes nothing.
    """
    project = Project(setting.project)
    installed = project.generation().lockfile
    checks: list[Check] = [lambda: _lock(project), lambda: _base(setting, project)]
    checks.extend(partial(_pack, setting, locked) for locked in installed.skills.values())
    checks.append(lambda: _yanks(setting, project, installed))
    if is_graft(setting.project / DEFAULT_TARGET):
        checks.append(lambda: _graft(setting, project))
    findings = [finding for check in checks for finding in check()]
    findings.sort(key=lambda f: (-LEVELS.index(f.level), f.skill or "", f.code))
    return Audited(tuple(findings), len(checks))


def _lock(project: Project) -> Iterator[Finding]:
    reason = misfit(project.read_file(), project.read_lock())
    if reason is not None:
        yield Finding("medium", "lock-drift", None, f"skillpm.lock does not fit: {reason}")


def _base(setting: Setting, project: Project) -> Iterator[Finding]:
    try:
        base = open_base(setting, project)
        found = setting.identify(base, "hashing base", cached=False)
        check_base(found.root, project.generation().base_root, base.path)
    except IntegrityError as problem:
        yield Finding("critical", "base-mismatch", None, problem.message)
    except SkillpmError as problem:
        yield Finding("medium", "base-missing", None, problem.message)


def _pack(setting: Setting, locked: LockedSkill) -> Iterator[Finding]:
    name = str(locked.skill)
    try:
        pack = load_pack(setting.store, locked.digest)
        for digest in pack.image.blobs:
            setting.store.open(digest)
    except NotFoundError as problem:
        yield Finding("high", "blob-missing", name, problem.message)
        return
    except SkillpmError as problem:
        yield Finding("critical", "blob-damaged", name, problem.message)
        return
    yield from _claims(pack, locked)


def _claims(pack: StoredPack, locked: LockedSkill) -> Iterator[Finding]:
    name, manifest = str(locked.skill), pack.manifest
    if (manifest.skill, manifest.version) != (locked.skill, locked.version):
        yield Finding("critical", "wrong-pack", name, f"its blobs are of {manifest.ref}")
    yield Finding("low", "unsigned", name, f"{locked.ref} carries no signature")
    if manifest.license is None:
        yield Finding("low", "no-license", name, f"{locked.ref} names no licence")
    said = manifest.provenance
    if not (said.method or said.sources or said.data):
        yield Finding("low", "no-provenance", name, f"{locked.ref} does not say where it came from")
    if locked.accept_footprint:
        yield Finding("low", "base-accepted", name, f"{locked.ref} was cut from another base")


def _yanks(setting: Setting, project: Project, lock: Lockfile) -> Iterator[Finding]:
    if not lock.skill:
        return
    registries = Registries(setting, project.read_file())
    try:
        listed = registries.releases(list(lock.skills))
    except RegistryError as problem:
        yield Finding("low", "registry-unreachable", None, f"yanks unknown: {problem.message}")
        return
    for skill, locked in lock.skills.items():
        release = next((r for r in listed.get(skill, ()) if r.version == locked.version), None)
        if release is None:
            text = f"its registry does not list {locked.ref}"
            yield Finding("medium", "unlisted", str(skill), text)
        elif release.digest != locked.digest:
            text = f"its registry has {locked.ref} as `{release.digest}`"
            yield Finding("critical", "release-changed", str(skill), text)
        elif release.yanked:
            why = f": {release.yank_reason}" if release.yank_reason else ""
            yield Finding("high", "yanked", str(skill), f"{locked.ref} was yanked{why}")


def _graft(setting: Setting, project: Project) -> Iterator[Finding]:
    folder = setting.project / DEFAULT_TARGET
    try:
        stamp = read_stamp(folder)
        check_graft(folder, stamp, setting.identify(open_model(folder), "hashing", cached=False))
    except SkillpmError as problem:
        yield Finding("critical", "graft-damaged", None, problem.message)
        return
    except OSError as problem:
        text = f"`{folder / STAMP}` cannot be read: {problem.strerror}"
        yield Finding("high", "graft-damaged", None, text)
        return
    yield from _stamp(project, stamp)


def _stamp(project: Project, stamp: dict[str, Any]) -> Iterator[Finding]:
    """Whether the graft is of what is installed, and has the root that the lock knows."""
    installed, lock = project.generation().lockfile, project.read_lock()
    listed = stamp.get("skills")
    if listed != stamp_of(installed, installed.base.root)["skills"]:
        yield Finding("low", "graft-stale", None, "the graft on disk is of another set")
        return
    known = lock.graft.root if lock is not None and lock.same_set(installed) else None
    if known is not None and stamp.get("root") != str(known):
        text = f"the graft has the root `{stamp.get('root')}`, the lock `{known}`"
        yield Finding("critical", "graft-damaged", None, text)
