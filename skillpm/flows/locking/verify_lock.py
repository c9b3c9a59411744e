"""A lock that somebody else made: it must be one that skillpm could have made itself."""

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
    """A lock, the project file that goes with it and the packs that it names, as `what` tells.

    A claim that `promises_root` may name the graft's root before anyone here can know it.
    """

    what: str
    file: ProjectFile
    lock: Lockfile
    packs: Mapping[SkillName, AnyPack]
    promises_root: bool = False


def checked_lock(session: Session, project: ProjectFolder, claim: UntrustedLock) -> Lockfile:
    """The lock, verified against the project file and the packs' own manifests.

    Its graft's root is set where it follows; one that is promised is kept, and a graft that gets
    another is an error. Raises `ResolutionError` or `IntegrityError`.
    """
    what, lock, packs = claim.what, claim.lock, claim.packs
    reason = stale_reason(claim.file, lock)
    if reason is not None:
        raise ResolutionError(f"{what}'s set is not what its `[skills]` asks for: {reason}")
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
    """What the lock says of a pack is what the pack's own manifest says."""
    manifest = pack.manifest
    if pack.size != locked.size:
        raise IntegrityError(f"{locked.ref} is {pack.size} bytes, {what} says {locked.size}")
    if sorted(map(str, manifest.requires)) != sorted(map(str, locked.requires)):
        raise IntegrityError(f"{locked.ref} requires other skills than {what} says")
    for conflict in manifest.conflicts:
        other = lock.skills.get(conflict.skill)
        if other is not None and conflict.admits(other.skill, other.version):
            raise ResolutionError(f"{locked.ref} conflicts with {other.ref}")


def _check_bases(
    session: Session,
    project: ProjectFolder,
    lock: Lockfile,
    manifests: Mapping[SkillName, Manifest],
) -> None:
    """Every pack was cut from the base, or its footprint fits and the lock says so (law 8)."""
    others = [skill for skill, one in manifests.items() if one.base.root != lock.base.root]
    if not others:
        return
    refused = [skill for skill in others if not lock.skills[skill].accept_footprint]
    if not refused:
        base = open_base(session, project)
        identity = session.identify(base, "hashing base")
        check_base(identity.root, lock.base.root, base.path)
        refused = [s for s in others if not footprint_fits(manifests[s], identity.leaves)]
    if refused:
        found = manifests[refused[0]]
        raise ResolutionError(
            f"{found.ref} was cut from base `{found.base.root}`, this project has "
            f"`{lock.base.root}`"
        )


def _root(
    lock: Lockfile, before: Lockfile | None, known: Digest | None, what: str
) -> Digest | None:
    """The root of the graft, as it follows from the packs; a lock that names another is refused."""
    if known is None and before is not None and before.same_set(lock):
        known = before.graft.root
    if lock.graft.root not in (None, known):
        raise IntegrityError(
            f"{what} gives the graft the root `{lock.graft.root}`, expected `{known}`"
        )
    return known
