"""`verify` and `inspect`: is a pack what it says, and what does it say."""

from dataclasses import dataclass
from pathlib import Path

from skillpm.archive.reader import PackFile, open_pack
from skillpm.checkpoint.model import VerifiedCheckpoint
from skillpm.errors import IntegrityError
from skillpm.flows.packs.composition import opened
from skillpm.flows.packs.verify_on_base import (
    HashedBase,
    documents_of,
    verify_on_base,
    warn_of_parts,
)
from skillpm.flows.session.session import Session, open_model
from skillpm.spec.digests import Digest
from skillpm.verification.check import check_documents
from skillpm.verification.claims import Claim, claims_of


@dataclass(frozen=True)
class Verified:
    """A pack that holds; with a base, the root that it gives. `claims` are not checked."""

    pack: PackFile
    root: Digest | None
    claims: tuple[Claim, ...] = ()


def inspect_pack(path: Path) -> PackFile:
    """Read and verify a pack file."""
    return open_pack(path)


def verify_pack(
    session: Session, path: Path, base: Path | None, *, accept_footprint: bool = False
) -> Verified:
    """Re-hash everything; with a base, recompute all that the manifest says of the pack.

    A pack that holds on the base is remembered as verified there. Raises `IntegrityError` for
    statements that do not hold, and lists them all.
    """
    pack = open_pack(path)
    for each in opened([pack]):
        each.hash_layers()
    claims = claims_of(pack.manifest)
    if base is None:
        check_documents(documents_of(pack), shown=True)
        return Verified(pack, None, claims)
    model = open_model(base)
    identity = session.identify(model, "hashing base", cached=False)
    hashed = HashedBase(VerifiedCheckpoint.of(model, identity))
    root = verify_on_base(session, pack, hashed, accept_footprint=accept_footprint, shown=True)
    warnings = warn_of_parts(session, pack, model)
    for warning in warnings:
        if not accept_footprint:
            raise IntegrityError(
                warning,
                hint="name the base that the pack was cut from; `--accept-footprint` goes on",
            )
        session.say(f"warning: {warning}")
    if not warnings:
        session.verified.remember(pack.digest, hashed.identity.root)
    return Verified(pack, root, claims)
