"""Packs of an audit that were never verified on the base: verified now, as `install` would."""

from collections.abc import Iterator, Mapping

from skillpm.audit.findings import Finding
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.audit.graft import AuditedBase
from skillpm.flows.packs.base_parts import part_warnings
from skillpm.flows.packs.protocol import side_packs
from skillpm.flows.packs.side_files import apply_side_files, files_of
from skillpm.flows.packs.unverified import unverified_packs
from skillpm.flows.packs.verify_on_base import HashedBase, verify_on_base
from skillpm.flows.session.session import Session
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import StoredPack


def _parts(
    lock: Lockfile, packs: Mapping[SkillName, StoredPack], based: AuditedBase | None
) -> Iterator[Finding]:
    """Packs whose base had other parts beside its tensors than the project's: no root says so."""
    if based is None or len(packs) < len(lock.skills):
        return
    try:
        side = apply_side_files(files_of(based.model), side_packs(packs.values()))
    except SkillpmError:
        return  # packs that clash are no set that was installed: graft says why
    for skill, pack in sorted(packs.items()):
        for text in part_warnings([pack.manifest], based.model, side):
            yield Finding("medium", "base-part", str(skill), text)


def verification_findings(
    session: Session,
    lock: Lockfile,
    packs: Mapping[SkillName, StoredPack],
    based: AuditedBase | None,
) -> Iterator[Finding]:
    """Manifests that do not hold and packs that cannot be grafted; without a base, what is open.

    A pack that this home verified on a base of this root is not decoded again: blobs and base have
    just been hashed, and what they give follows. Writes nothing.
    """
    yield from _parts(lock, packs, based)
    for locked in unverified_packs(session.verified, lock):
        name, pack = str(locked.skill), packs.get(locked.skill)
        if pack is None:
            continue  # found already: its blobs are missing or damaged
        if based is None:
            text = f"{locked.ref} was never verified on the base: its figures are its author's"
            yield Finding("low", "unverified", name, text)
            continue
        base = HashedBase(based.model)
        try:
            verify_on_base(session, pack, base, accept_footprint=locked.accept_footprint)
        except IntegrityError as problem:
            yield Finding("critical", "manifest-false", name, problem.message)
        except SkillpmError as problem:
            text = f"{locked.ref} cannot be grafted: {problem.message}"
            yield Finding("high", "ungraftable", name, text)
