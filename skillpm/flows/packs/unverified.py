"""The packs of a set that this home never verified on the set's base."""

from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.store.verified import VerifiedPacks


def unverified_packs(verified: VerifiedPacks, lock: Lockfile) -> tuple[LockedSkill, ...]:
    """The locked skills of which nothing but their authors' words is known, sorted."""
    return tuple(
        locked
        for locked in lock.skills.values()
        if not verified.holds(locked.digest, lock.base.root)
    )
