"""`audit`: check the installed packs, the base and the grafts, and report findings."""

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
from skillpm.files.named import expanded
from skillpm.flows.audit.graft import AuditedBase, AuditedGraft, graft_findings
from skillpm.flows.audit.packs import Audit, audit_pack, stray_damage
from skillpm.flows.audit.registries import listed_findings, read_advisories
from skillpm.flows.audit.router import router_findings
from skillpm.flows.audit.verify_missing import verification_findings
from skillpm.flows.graft.graft import DEFAULT_TARGET
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.session.base_model import check_base, open_base
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.levels import Level
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile
from skillpm.store.packs import StoredPack

FAIL_ON: Level = "high"


@dataclass(frozen=True)
class Report:
    """The result of an audit: findings, the failing level, the lock's text, and the inventory."""

    audited: Audited
    fail_on: Level
    lock: str
    inventory: Inventory


def audit(session: Session, grafts: Iterable[Path] = (), advisories: Iterable[Path] = ()) -> Report:
    """Check blobs, base, grafts, yanks, advisories, licences and manifests. Writes nothing.

    Without `grafts`, checks the project's default graft if it exists. Costs one read and hash of
    every byte; no cache is used. Raises `SpecError` if the project file, the policy or an advisory
    file cannot be read, because an audit that skips a requested check must not pass.
    """
    project = ProjectFolder(session.project)
    file, installed = project.read_file(), project.generation().lockfile
    policy, known = Policy(file.audit.licenses), read_advisories(advisories)
    folders = _graft_folders(session, grafts)
    lock, findings = _lock(project, file, installed)
    based, base_findings = _base(session, project)
    findings += base_findings
    packs: dict[SkillName, StoredPack] = {}
    checks = Audit(session.store, policy)
    for locked in installed.skills.values():
        pack, pack_findings = audit_pack(checks, locked)
        findings += pack_findings
        if pack is not None:
            packs[locked.skill] = pack
    if len(packs) < len(installed.skills):
        findings += stray_damage(session.store, findings)
    findings += verification_findings(session, installed, packs, based)
    findings += router_findings(session, installed, packs)
    findings += listed_findings(session, file, installed, known)
    for folder in folders:
        findings += graft_findings(
            session, AuditedGraft(folder, installed, _root_of(lock, installed)), based
        )
    checked = 3 + len(installed.skills) + len(folders)
    return Report(
        settle(findings, file.audit.ignore, session.now.date(), checked),
        file.audit.fail_on or FAIL_ON,
        project.read_text(project.lock_file) if project.has_lock else "",
        _inventory(session, installed, _root_of(lock, installed), packs),
    )


def _graft_folders(session: Session, grafts: Iterable[Path]) -> list[Path]:
    named = [expanded(path) for path in grafts]
    for path in named:
        if not is_graft(path):
            raise NotFoundError(
                f"`{path}` is not a graft", hint=f"`skillpm graft -o {path}` writes one"
            )
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
        text = f"skillpm.lock does not match skillpm.toml: {reason}; `skillpm lock` updates it"
        yield Finding("medium", "lock-drift", None, text)
    if lock is not None and not lock.same_set(installed):
        text = (
            "skillpm.lock differs from the installed set, which is what this audit checked; "
            "`skillpm install` installs the locked set"
        )
        yield Finding("low", "lock-ahead", None, text)


def _root_of(lock: Lockfile | None, installed: Lockfile) -> Digest | None:
    """Return the root that the lock records, if the lock is for the installed set."""
    return lock.graft.root if lock is not None and lock.same_set(installed) else None


def _base(session: Session, project: ProjectFolder) -> tuple[AuditedBase | None, list[Finding]]:
    try:
        base = open_base(session, project)
        identity = session.identify(base, "hashing base", cached=False)
        check_base(identity.root, project.generation().base_root, base.label)
    except IntegrityError as problem:
        return None, [Finding("critical", "base-mismatch", None, _with_hint(problem))]
    except SkillpmError as problem:
        return None, [Finding("medium", "base-missing", None, _with_hint(problem))]
    return AuditedBase(VerifiedCheckpoint.of(base, identity), identity), []


def _with_hint(problem: SkillpmError) -> str:
    return f"{problem.message}; {problem.hint}" if problem.hint else problem.message


def _inventory(
    session: Session,
    installed: Lockfile,
    root: Digest | None,
    packs: dict[SkillName, StoredPack],
) -> Inventory:
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    return Inventory(session.project.resolve().name, installed.with_root(root), manifests)
