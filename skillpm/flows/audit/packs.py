"""The packs of an audit: every blob hashed again, and what each pack says of itself."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from skillpm.audit.findings import Finding
from skillpm.audit.licences import Policy, parse_licence
from skillpm.errors import NotFoundError, SkillpmError, SpecError
from skillpm.spec.advisory import Level
from skillpm.spec.lockfile import LockedSkill
from skillpm.store.blobs import Store
from skillpm.store.errors import DamagedBlobError
from skillpm.store.packs import StoredPack, load_pack

_UNSIGNED = "{} carries no signature; this version of skillpm cannot make one yet"


@dataclass(frozen=True)
class Audit:
    """What packs are held against."""

    store: Store
    policy: Policy


def look_at(audit: Audit, locked: LockedSkill) -> tuple[StoredPack | None, list[Finding]]:
    """A pack of the lock, where its documents can be read, and all that is wrong with it."""
    try:
        pack = load_pack(audit.store, locked.digest)
    except SkillpmError as problem:
        return None, [_blob(locked, problem)]
    return pack, [*_blobs(audit, pack, locked), *_claims(pack, locked), *_licence(audit, pack)]


def stray_damage(store: Store, reported: Iterable[Finding]) -> Iterator[Finding]:
    """Damaged blobs of the store that no finding names yet.

    For an audit in which the documents of a pack cannot be read: then nothing says which blobs the
    pack needs, so every blob of the store is hashed.
    """
    messages = " ".join(finding.message for finding in reported)
    for digest in store.blobs():
        try:
            store.open(digest)
        except DamagedBlobError as problem:
            if digest.hex not in messages:
                text = f"{problem.message}; `skillpm cache verify --repair` fetches it again"
                yield Finding("critical", "blob-damaged", None, text)


def _blobs(audit: Audit, pack: StoredPack, locked: LockedSkill) -> Iterator[Finding]:
    for digest in pack.image.blobs:
        try:
            audit.store.open(digest)
        except SkillpmError as problem:
            yield _blob(locked, problem)


def _blob(locked: LockedSkill, problem: SkillpmError) -> Finding:
    gone = isinstance(problem, NotFoundError)
    level: Level = "high" if gone else "critical"
    code = "blob-missing" if gone else "blob-damaged"
    return Finding(level, code, str(locked.skill), problem.message)


def _claims(pack: StoredPack, locked: LockedSkill) -> Iterator[Finding]:
    name, manifest = str(locked.skill), pack.manifest
    if (manifest.skill, manifest.version) != (locked.skill, locked.version):
        yield Finding("critical", "wrong-pack", name, f"its blobs are of {manifest.ref}")
    yield Finding("low", "unsigned", name, _UNSIGNED.format(locked.ref))
    said = manifest.provenance
    if not (said.method or said.sources or said.data):
        yield Finding("low", "no-provenance", name, f"{locked.ref} does not say where it came from")
    if locked.accept_footprint:
        yield Finding("low", "base-accepted", name, f"{locked.ref} was cut from another base")


def _licence(audit: Audit, pack: StoredPack) -> Iterator[Finding]:
    name, said = str(pack.manifest.skill), pack.manifest.license
    if said is None:
        yield Finding("low", "no-license", name, f"{pack.manifest.ref} names no licence")
    try:
        if said is not None:
            parse_licence(said)
        refusal = audit.policy.refusal(said)
    except SpecError as problem:
        # What cannot be read cannot be allowed; without a policy nobody asked.
        strict = audit.policy.allow or audit.policy.deny
        level: Level = "high" if strict else "low"
        text = f"the licence of {pack.manifest.ref}: {problem.message}"
        yield Finding(level, "license-unknown", name, text)
        return
    if refusal is not None:
        text = f"the licence of {pack.manifest.ref}: {refusal} (`[audit.licenses]`)"
        yield Finding("high", "license-denied", name, text)
