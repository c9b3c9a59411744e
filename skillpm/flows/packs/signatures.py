"""Read and check the router signatures of a set. Invalid signatures are left out, with a reason.

Needs no model and does not import torch.
"""

from collections.abc import Mapping

from skillpm.environment.generation import Entry
from skillpm.routing.signature import (
    LIMIT,
    Signature,
    UnsoundSignatureError,
    parse_signature,
)
from skillpm.spec.digests import Digest
from skillpm.spec.names import SkillName
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.store.blobs import Store
from skillpm.store.packs import StoredPack, load_pack


class SkippedSignatures(dict[SkillName, str]):
    """The reasons why skills are not candidates; `unsound` has those with an invalid signature."""

    def __init__(self) -> None:
        super().__init__()
        self.unsound: dict[SkillName, str] = {}

    def refuse(self, skill: SkillName, reason: str) -> None:
        """Leave out a skill whose signature is invalid."""
        self[skill] = self.unsound[skill] = reason


def signatures_of(
    store: Store, entries: Mapping[SkillName, Entry], root: Digest
) -> tuple[dict[SkillName, Signature], SkippedSignatures]:
    """The signatures made on this base, and the reasons why the other skills are not candidates.

    Raises `IntegrityError` if a blob is damaged. An invalid signature is left out.
    """
    signatures: dict[SkillName, Signature] = {}
    left_out = SkippedSignatures()
    for skill, entry in entries.items():
        try:
            signature = signature_of(load_pack(store, entry.digest))
        except UnsoundSignatureError as problem:
            left_out.refuse(skill, problem.message)
            continue
        if signature is None:
            left_out[skill] = "its pack has no router signature"
        elif signature.base != root:
            left_out[skill] = f"its router signature was made on base `{signature.base}`"
        else:
            signatures[skill] = signature
    return signatures, left_out


def signature_of(pack: StoredPack) -> Signature | None:
    """A pack's router signature, if any. Raises `UnsoundSignatureError` if it is invalid."""
    layers = pack.image.layer(ROUTER_TYPE)
    if not layers:
        return None
    what = f"the router signature of {pack.manifest.ref}"
    if layers[0].size > LIMIT:
        raise UnsoundSignatureError(f"{what} has {layers[0].size} bytes; the limit is {LIMIT}")
    return parse_signature(pack.read(layers[0].digest), pack.manifest.base.root, what)


def drop_other_widths(
    signatures: dict[SkillName, Signature], left_out: SkippedSignatures, width: int
) -> None:
    """Leave out the signatures whose number of features differs from the base's `width`."""
    for skill, signature in list(signatures.items()):
        own = signature.examples.shape[1]
        if own != width:
            left_out.refuse(
                skill, f"its router signature has {own} features per text, the base has {width}"
            )
            del signatures[skill]
