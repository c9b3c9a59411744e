"""Packs of an audit that were never verified on the base: verified now, as `install` would."""

from collections.abc import Iterator, Mapping

from skillpm.audit.findings import Finding
from skillpm.errors import IntegrityError, SkillpmError
from skillpm.flows.audit_graft import Based
from skillpm.flows.setting import Setting
from skillpm.flows.unverified import unverified_packs
from skillpm.flows.verify_on_base import HashedBase, verify_on_base
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.names import SkillName
from skillpm.store.packs import StoredPack


def verification_findings(
    setting: Setting, lock: Lockfile, packs: Mapping[SkillName, StoredPack], based: Based | None
) -> Iterator[Finding]:
    """Manifests that do not hold and packs that cannot be grafted; without a base, what is open.

    A pack that this home verified on a base of this root is not decoded again: blobs and base have
    just been hashed, and what they give follows. Writes nothing.
    """
    for locked in unverified_packs(setting.verified, lock):
        name, pack = str(locked.skill), packs.get(locked.skill)
        if pack is None:
            continue  # found already: its blobs are missing or damaged
        if based is None:
            text = f"{locked.ref} was never verified on the base: its figures are its author's"
            yield Finding("low", "unverified", name, text)
            continue
        base = HashedBase(based.model, based.identity)
        try:
            verify_on_base(setting, pack, base, accept_footprint=locked.accept_footprint)
        except IntegrityError as problem:
            yield Finding("critical", "manifest-false", name, problem.message)
        except SkillpmError as problem:
            text = f"{locked.ref} cannot be grafted: {problem.message}"
            yield Finding("high", "ungraftable", name, text)
