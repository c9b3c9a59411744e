"""Packs of a lock, verified on the project's base and remembered (ADR 25)."""

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
    """Verify stored packs and remember those that hold; a note where there is no base to do it on.

    Leaves of the base that were hashed before are believed for its root: what a pack is decoded
    against is hashed again. Raises what `verify_on_base` raises, with a way out.
    """
    base = _project_base(session, project, lock)
    if isinstance(base, str):
        several = counted(len(waiting), "pack")
        return (
            f"{several} not verified: {base}; `skillpm install` verifies once the base is there",
        )
    for locked in waiting:
        session.say(f"verifying {locked.ref} on the base")
        pack = load_pack(session.store, locked.digest)
        try:
            verify_on_base(session, pack, base, accept_footprint=locked.accept_footprint)
        except SkillpmError as problem:
            problem.hint = problem.hint or f"install the others without `{locked.skill}`"
            raise
        for warning in warn_of_parts(session, pack, base.model):
            session.say(f"warning: {warning}")
        session.verified.remember(locked.digest, lock.base.root)
    return ()


def _project_base(session: Session, project: ProjectFolder, lock: Lockfile) -> HashedBase | str:
    """The project's base, or why nothing can be verified on it."""
    try:
        model = open_base(session, project)
        identity = session.identify(model, "hashing base")
    except SkillpmError as problem:
        return problem.message
    if identity.root != lock.base.root:
        return f"`{model.path}` is `{identity.root}`, and not the project's base"
    return HashedBase(VerifiedCheckpoint.of(model, identity))
