"""`verify` and `inspect`: check the statements of a pack, and read them."""

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
from skillpm.spec.words import base_option
from skillpm.verification.check import check_documents
from skillpm.verification.claims import Claim, claims_of


@dataclass(frozen=True)
class Verified:
    """A verified pack; with a base, the root of base + pack. `claims` are unchecked statements."""

    pack: PackFile
    root: Digest | None
    claims: tuple[Claim, ...] = ()


def inspect_pack(path: Path) -> PackFile:
    """Read a pack file, and verify its digests."""
    return open_pack(path)


def verify_pack(
    session: Session, path: Path, base: Path | None, *, accept_footprint: bool = False
) -> Verified:
    """Hash the whole pack; with a base, recompute every statement of the manifest except claims.

    A pack that passes is recorded as verified on that base. Raises `IntegrityError`, which lists
    every false statement.
    """
    pack = open_pack(path)
    (decoder,) = opened([pack])
    decoder.hash_layers()
    claims = claims_of(pack.manifest)
    if base is None:
        check_documents(documents_of(pack), shown=True)
        return Verified(pack, None, claims)
    model = open_model(base, session.say)
    identity = session.identify(model, "hashing base", cached=False)
    hashed = HashedBase(VerifiedCheckpoint.of(model, identity))
    root = verify_on_base(
        session, pack, hashed, accept_footprint=accept_footprint, shown=True, decoder=decoder
    )
    warnings = warn_of_parts(session, pack, model)
    for warning in warnings:
        if not accept_footprint:
            raise IntegrityError(
                warning,
                hint=f"name the pack's own base: {base_option(pack.manifest.base.name)}; or accept "
                "this one: `--accept-footprint`",
            )
        session.say(f"warning: {warning}")
    if not warnings:
        session.verified.remember(pack.digest, hashed.identity.root)
    return Verified(pack, root, claims)
