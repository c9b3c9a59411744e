"""`audit`: is everything that is installed and grafted still what it should be, and trusted."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from skillpm.audit.cyclonedx import Inventory
from skillpm.audit.findings import Audited, Finding, settle
from skillpm.audit.licences import Policy
from skillpm.checkpoint.folder import is_graft
from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, NotFoundError, SkillpmError, SpecError
from skillpm.flows.audit.graft import AuditedBase, AuditedGraft, graft_findings
from skillpm.flows.audit.packs import Audit, look_at, stray_damage
from skillpm.flows.audit.registries import listed_findings, read_advisories
from skillpm.flows.audit.router import router_findings
from skillpm.flows.audit.verify_missing import verification_findings
from skillpm.flows.graft.graft import DEFAULT_TARGET
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.session.base_model import check_base, open_base
from skillpm.flows.session.session import Session
from skillpm.spec.advisory import Level
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.store.packs import StoredPack

FAIL_ON: Level = "high"


@dataclass(frozen=True)
class Report:
    """An audit: what was found, the level that the project fails on, and what it is made of."""

    audited: Audited
    fail_on: Level
    lock: str
    inventory: Inventory


def audit(session: Session, grafts: Iterable[Path] = (), advisories: Iterable[Path] = ()) -> Report:
    """Check blobs, base, grafts, yanks, advisories, licences, and what packs say of themselves.

    Without `grafts`, the project's own, where it is there. Reads every byte again: no cache is
    believed. Writes nothing. Raises `SpecError` where project file, policy or a given advisory
    cannot be read: an audit that leaves out what it was asked for must not pass.
    """
    project = ProjectFolder(session.project)
    file, installed = project.read_file(), project.generation().lockfile
    policy, known = Policy(file.audit.licenses), read_advisories(advisories)
    places = _places(session, grafts)
    lock, findings = _lock(project, file, installed)
    based, found = _base(session, project)
    findings += found
    packs: dict[SkillName, StoredPack] = {}
    checks = Audit(session.store, policy)
    for locked in installed.skills.values():
        pack, found = look_at(checks, locked)
        findings += found
        if pack is not None:
            packs[locked.skill] = pack
    if len(packs) < len(installed.skills):
        findings += stray_damage(session.store, findings)
    findings += verification_findings(session, installed, packs, based)
    findings += router_findings(session, installed, packs)
    findings += listed_findings(session, file, installed, known)
    for place in places:
        findings += graft_findings(
            session, AuditedGraft(place, installed, _root_of(lock, installed)), based
        )
    checked = 3 + len(installed.skills) + len(places)
    return Report(
        settle(findings, file.audit.ignore, session.now.date(), checked),
        file.audit.fail_on or FAIL_ON,
        project.read_text(project.lock_file) if project.has_lock else "",
        _inventory(session, installed, _root_of(lock, installed), packs),
    )


def _places(session: Session, grafts: Iterable[Path]) -> list[Path]:
    named = [path.expanduser() for path in grafts]
    for path in named:
        if not is_graft(path):
            raise NotFoundError(f"there is no graft in `{path}`", hint=f"`skillpm graft -o {path}`")
    own = session.project / DEFAULT_TARGET
    return named or [own] * is_graft(own)


def _lock(
    project: ProjectFolder, file: ProjectFile, installed: Lockfile
) -> tuple[Lockfile | None, list[Finding]]:
    try:
        lock = project.read_lock()
    except SpecError as problem:
        return None, [Finding("high", "lock-damaged", None, problem.message)]
    return lock, list(_drift(file, lock, installed))


def _drift(file: ProjectFile, lock: Lockfile | None, installed: Lockfile) -> Iterator[Finding]:
    reason = stale_reason(file, lock)
    if reason is not None:
        yield Finding("medium", "lock-drift", None, f"skillpm.lock does not fit: {reason}")
    if lock is not None and not lock.same_set(installed):
        text = "skillpm.lock is not what is installed, and what is installed is what was checked"
        yield Finding("low", "lock-ahead", None, text)


def _root_of(lock: Lockfile | None, installed: Lockfile) -> Digest | None:
    """The root that the lock knows for what is installed."""
    return lock.graft.root if lock is not None and lock.same_set(installed) else None


def _base(session: Session, project: ProjectFolder) -> tuple[AuditedBase | None, list[Finding]]:
    try:
        base = open_base(session, project)
        found = session.identify(base, "hashing base", cached=False)
        check_base(found.root, project.generation().base_root, base.path)
    except IntegrityError as problem:
        return None, [Finding("critical", "base-mismatch", None, problem.message)]
    except SkillpmError as problem:
        return None, [Finding("medium", "base-missing", None, problem.message)]
    return AuditedBase(VerifiedCheckpoint.of(base, found), found), []


def _inventory(
    session: Session,
    installed: Lockfile,
    root: Digest | None,
    packs: dict[SkillName, StoredPack],
) -> Inventory:
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    return Inventory(session.project.resolve().name, installed.with_root(root), manifests)
