"""Verify the packs of a lock on the project's base, and record the result (ADR 25)."""

from collections.abc import Sequence

from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.environment.project import ProjectFolder
from skillpm.errors import SkillpmError
from skillpm.flows.packs.verify_on_base import HashedBase, verify_on_base, warn_of_parts
from skillpm.flows.session.base_model import open_base
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import LockedSkill, Lockfile
from skillpm.spec.words import counted
from skillpm.store.packs import load_pack


def verify_packs(
    session: Session, project: ProjectFolder, lock: Lockfile, waiting: Sequence[LockedSkill]
) -> tuple[str, ...]:
    """Verify stored packs and record those that pass; return a note if there is no base.

    The root of the base may come from cached leaves, but the tensors that a pack is decoded against
    are hashed again. Raises the errors of `verify_on_base`, with a hint.
    """
    base = _project_base(session, project, lock)
    if isinstance(base, str):
        packs = counted(len(waiting), "pack")
        return (
            f"{packs} not verified: {base}; `skillpm install` verifies once the base is available",
        )
    for locked in waiting:
        session.say(f"verifying {locked.ref} on the base")
        pack = load_pack(session.store, locked.digest)
        try:
            verify_on_base(session, pack, base, accept_footprint=locked.accept_footprint)
        except SkillpmError as problem:
            problem.hint = problem.hint or f"install the other skills without `{locked.skill}`"
            raise
        for warning in warn_of_parts(session, pack, base.model):
            session.say(f"warning: {warning}")
        session.verified.remember(locked.digest, lock.base.root)
    return ()


def _project_base(session: Session, project: ProjectFolder, lock: Lockfile) -> HashedBase | str:
    """Return the project's base, or the reason why it cannot be used."""
    try:
        model = open_base(session, project)
        identity = session.identify(model, "hashing base")
    except SkillpmError as problem:
        return problem.message
    if identity.root != lock.base.root:
        return (
            f"`{model.path}` has the root `{identity.root}`; the project expects `{lock.base.root}`"
        )
    return HashedBase(VerifiedCheckpoint.of(model, identity))
