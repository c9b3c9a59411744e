"""Find the packs of a lock that were not yet verified on the lock's base, on this machine."""

from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.store.verified_packs import VerifiedPacks


def unverified_packs(verified: VerifiedPacks, lock: Lockfile) -> tuple[LockedSkill, ...]:
    """The locked skills that no command with this home has verified on the base, sorted."""
    return tuple(
        locked
        for locked in lock.skills.values()
        if not verified.holds(locked.digest, lock.base.root)
    )
