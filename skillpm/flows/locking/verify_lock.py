"""Verify a lock from a plan or a bundle: it must equal a lock that skillpm could have made."""

from collections.abc import Mapping
from dataclasses import dataclass

from skillpm.environment.project import ProjectFolder
from skillpm.errors import IntegrityError, ResolutionError
from skillpm.flows.locking.lock_check import stale_reason
from skillpm.flows.locking.solve import check_together, known_root
from skillpm.flows.packs.protocol import AnyPack
from skillpm.flows.session.base_model import check_base, footprint_fits, open_base
from skillpm.flows.session.session import Session
from skillpm.spec.digests import Digest
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.manifest import Manifest
from skillpm.spec.names import SkillName
from skillpm.spec.project import ProjectFile


@dataclass(frozen=True)
class UntrustedLock:
    """A lock from outside, with its project file and the packs that it names.

    `what` names the origin in messages, such as `the plan`. With `promises_root`, the lock may give
    a root of the graft that only a later graft can check.
    """

    what: str
    file: ProjectFile
    lock: Lockfile
    packs: Mapping[SkillName, AnyPack]
    promises_root: bool = False


def checked_lock(session: Session, project: ProjectFolder, claim: UntrustedLock) -> Lockfile:
    """The lock, verified against the project file and the packs' own manifests.

    The graft's root is set if the manifests determine it. Otherwise a promised root is kept, and
    `graft` fails if it computes another. Raises `ResolutionError` or `IntegrityError`.
    """
    what, lock, packs = claim.what, claim.lock, claim.packs
    reason = stale_reason(claim.file, lock)
    if reason is not None:
        raise ResolutionError(f"the lock of {what} does not satisfy its `[skills]`: {reason}")
    manifests = {skill: pack.manifest for skill, pack in packs.items()}
    for skill, locked in lock.skills.items():
        _check_stanza(locked, packs[skill], lock, what)
    _check_bases(session, project, lock, manifests)
    check_together(lock, packs)
    known = known_root(lock, manifests)
    if known is None and claim.promises_root:
        known = lock.graft.root
    return lock.with_root(_root(lock, project.read_lock(), known, what))


def _check_stanza(locked: LockedSkill, pack: AnyPack, lock: Lockfile, what: str) -> None:
    """Check size and requirements in the lock against the pack, and the pack's conflicts."""
    manifest = pack.manifest
    if pack.size != locked.size:
        raise IntegrityError(
            f"{locked.ref} has {pack.size} bytes, but {what} records {locked.size}"
        )
    if sorted(map(str, manifest.requires)) != sorted(map(str, locked.requires)):
        raise IntegrityError(f"{locked.ref} requires other skills than {what} records")
    for conflict in manifest.conflicts:
        release = lock.skills.get(conflict.skill)
        if release is not None and conflict.admits(release.skill, release.version):
            raise ResolutionError(f"{locked.ref} conflicts with {release.ref}")


def _check_bases(
    session: Session,
    project: ProjectFolder,
    lock: Lockfile,
    manifests: Mapping[SkillName, Manifest],
) -> None:
    """Check that every pack was built for the base of the lock.

    A pack for another base is accepted if the lock has `accept_footprint` for it and its footprint
    matches this base (law 8).
    """
    foreign = [s for s, manifest in manifests.items() if manifest.base.root != lock.base.root]
    if not foreign:
        return
    refused = [skill for skill in foreign if not lock.skills[skill].accept_footprint]
    if not refused:
        base = open_base(session, project)
        identity = session.identify(base, "hashing base")
        check_base(identity.root, lock.base.root, base.label)
        refused = [s for s in foreign if not footprint_fits(manifests[s], identity.leaves)]
    if refused:
        manifest = manifests[refused[0]]
        raise ResolutionError(
            f"{manifest.ref} was built for base `{manifest.base.root}`, but the base of this "
            f"project is `{lock.base.root}`"
        )


def _root(
    lock: Lockfile, before: Lockfile | None, known: Digest | None, what: str
) -> Digest | None:
    """The root of the graft: `known`, or that of the lock `before` if it locks the same set.

    Raises `IntegrityError` if the lock gives another root.
    """
    if known is None and before is not None and before.same_set(lock):
        known = before.graft.root
    if lock.graft.root not in (None, known):
        raise IntegrityError(
            f"{what} gives the graft the root `{lock.graft.root}`, expected `{known}`"
        )
    return known
