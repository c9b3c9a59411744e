"""Verify, as `install` does, the packs that were never verified on the base."""

from collections.abc import Iterator, Mapping

from skillpm.audit.findings import Finding
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.audit.graft import AuditedBase
from skillpm.flows.packs.base_parts import part_warnings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.packs.verify_on_base import HashedBase, verify_on_base
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import StoredPack


def _parts(
    lock: Lockfile, packs: Mapping[SkillName, StoredPack], audited_base: AuditedBase | None
) -> Iterator[Finding]:
    """Yield packs built from a base with other module files, which the root does not cover."""
    if audited_base is None or len(packs) < len(lock.skills):
        return
    try:
        side = apply_side_files(files_of(audited_base.model), side_packs(packs.values()))
    except SkillpmError:
        return  # conflicting packs cannot be grafted; `graft` reports the conflict
    for skill, pack in sorted(packs.items()):
        for text in part_warnings([pack.manifest], audited_base.model, side):
            yield Finding("medium", "base-part", str(skill), text)


def verification_findings(
    session: Session,
    lock: Lockfile,
    packs: Mapping[SkillName, StoredPack],
    audited_base: AuditedBase | None,
) -> Iterator[Finding]:
    """Yield false manifests, packs that cannot be grafted, and, without a base, unverified packs.

    A pack that this home has verified on a base with the same root is not decoded again: the audit
    has just hashed its blobs and the base, and decoding is deterministic. Writes nothing.
    """
    yield from _parts(lock, packs, audited_base)
    for locked in session.verified.lacking(lock):
        name, pack = str(locked.skill), packs.get(locked.skill)
        if pack is None:
            continue  # already reported: its blobs are missing or damaged
        if audited_base is None:
            text = (
                f"{locked.ref} was never verified on the base; `skillpm install` verifies it once "
                "the base is available"
            )
            yield Finding("low", "unverified", name, text)
            continue
        base = HashedBase(audited_base.model)
        try:
            verify_on_base(session, pack, base, accept_footprint=locked.accept_footprint)
        except IntegrityError as problem:
            yield Finding("critical", "manifest-false", name, problem.message)
        except SkillpmError as problem:
            text = f"{locked.ref} cannot be grafted: {problem.message}"
            yield Finding("high", "ungraftable", name, text)
