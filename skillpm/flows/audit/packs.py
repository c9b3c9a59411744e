"""The packs of an audit: hashes of all blobs, and checks of manifest and licence."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skillpm.audit.findings import Finding
from skillpm.audit.licences import Policy, parse_licence
from skillpm.errors import NotFoundError, SkillpmError, SpecError
from skillpm.spec.levels import Level
from skillpm.spec.lockfile import LockedSkill
from skillpm.spec.transfer_sources import METHOD, has_terms
from skillpm.store.blobs import Store
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.packs import StoredPack, load_pack

_UNSIGNED = "{} has no signature; this version of skillpm cannot sign packs"
_INSTALL = "`skillpm install` downloads it again"
_REPAIR = "`skillpm cache verify --repair` downloads it again"


@dataclass(frozen=True)
class Audit:
    """The store and the licence policy that packs are checked with."""

    store: Store
    policy: Policy


def audit_pack(audit: Audit, locked: LockedSkill) -> tuple[StoredPack | None, list[Finding]]:
    """Return a locked pack (None if its documents cannot be read), and its findings."""
    try:
        pack = load_pack(audit.store, locked.digest)
    except SkillpmError as problem:
        return None, [_blob(locked, problem)]
    return pack, [*_blobs(audit, pack, locked), *_claims(pack, locked), *_licence(audit, pack)]


def stray_damage(store: Store, reported: Iterable[Finding]) -> Iterator[Finding]:
    """Yield the damaged blobs of the store that no finding names yet.

    An audit calls this if the documents of a pack cannot be read. The blobs of that pack are then
    unknown, so every blob of the store is hashed.
    """
    messages = " ".join(finding.message for finding in reported)
    for digest in store.blobs():
        try:
            store.open(digest)
        except DamagedBlobError as problem:
            if digest.hex not in messages:
                text = f"{problem.message}; {_REPAIR}"
                yield Finding("critical", "blob-damaged", None, text)


def _blobs(audit: Audit, pack: StoredPack, locked: LockedSkill) -> Iterator[Finding]:
    for digest in pack.image.blobs:
        try:
            audit.store.open(digest)
        except SkillpmError as problem:
            yield _blob(locked, problem)


def _blob(locked: LockedSkill, problem: SkillpmError) -> Finding:
    missing = isinstance(problem, NotFoundError)
    level: Level = "high" if missing else "critical"
    code = "blob-missing" if missing else "blob-damaged"
    is_blob = isinstance(problem, (MissingBlobError, DamagedBlobError))
    text = f"{problem.message}; {_INSTALL}" if is_blob else problem.message
    return Finding(level, code, str(locked.skill), text)


def _claims(pack: StoredPack, locked: LockedSkill) -> Iterator[Finding]:
    name, manifest = str(locked.skill), pack.manifest
    if (manifest.skill, manifest.version) != (locked.skill, locked.version):
        text = f"expected the pack {locked.ref}, found {manifest.ref} under the locked digest"
        yield Finding("critical", "wrong-pack", name, text)
    yield Finding("low", "unsigned", name, _UNSIGNED.format(locked.ref))
    stated = manifest.provenance
    if not (stated.method or stated.sources or stated.data):
        text = f"the manifest of {locked.ref} states no provenance (method, sources or data)"
        yield Finding("low", "no-provenance", name, text)
    if (stated.method or "").startswith(METHOD):
        yield from _unknown_terms(locked, stated.sources)
    if locked.accept_footprint:
        text = f"{locked.ref} was built from another base; `--accept-footprint` allowed it"
        yield Finding("low", "base-accepted", name, text)


def _unknown_terms(locked: LockedSkill, sources: Iterable[str]) -> Iterator[Finding]:
    """One finding for all sources of a transfer whose terms of use the manifest does not state."""
    unknown = [source for source in sources if not has_terms(source)]
    if unknown:
        listed = ", ".join(f"`{source}`" for source in unknown)
        text = f"the manifest of {locked.ref} states no terms of use for the source {listed}"
        yield Finding("low", "source-terms-unknown", str(locked.skill), text)


def _licence(audit: Audit, pack: StoredPack) -> Iterator[Finding]:
    name, licence = str(pack.manifest.skill), pack.manifest.license
    if licence is None:
        yield Finding(
            "low", "no-license", name, f"the manifest of {pack.manifest.ref} states no licence"
        )
    try:
        if licence is not None:
            parse_licence(licence)
        refusal = audit.policy.refusal(licence)
    except SpecError as problem:
        # A policy cannot accept a licence that cannot be read; without a policy it is only noted.
        strict = audit.policy.allow or audit.policy.deny
        level: Level = "high" if strict else "low"
        text = f"the licence of {pack.manifest.ref} cannot be read: {problem.message}"
        yield Finding(level, "license-unknown", name, text)
        return
    if refusal is not None:
        text = f"`[audit.licenses]` rejects the licence of {pack.manifest.ref}: {refusal}"
        yield Finding("high", "license-denied", name, text)
