"""The router signatures of a set, checked; an unsound one is left out and named.

Needs no model: nothing here loads torch.
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
    """Why skills are no candidates; those whose signature is unsound are in `unsound` too."""

    def __init__(self) -> None:
        super().__init__()
        self.unsound: dict[SkillName, str] = {}

    def refuse(self, skill: SkillName, reason: str) -> None:
        """Leave out a skill whose signature cannot be used."""
        self[skill] = self.unsound[skill] = reason


def signatures_of(
    store: Store, entries: Mapping[SkillName, Entry], root: Digest
) -> tuple[dict[SkillName, Signature], SkippedSignatures]:
    """The signatures of a set that are of this base, and why the other skills are no candidates.

    Raises `IntegrityError` where a blob is damaged; an unsound signature is left out.
    """
    signatures: dict[SkillName, Signature] = {}
    left_out = SkippedSignatures()
    for skill, one in entries.items():
        try:
            signature = signature_of(load_pack(store, one.digest))
        except UnsoundSignatureError as problem:
            left_out.refuse(skill, problem.message)
            continue
        if signature is None:
            left_out[skill] = "its pack has no router signature"
        elif signature.base != root:
            left_out[skill] = f"its signature is of base `{signature.base}`"
        else:
            signatures[skill] = signature
    return signatures, left_out


def signature_of(pack: StoredPack) -> Signature | None:
    """A pack's router signature, checked. Raises `UnsoundSignatureError` where it is not sound."""
    layers = pack.image.layer(ROUTER_TYPE)
    if not layers:
        return None
    what = f"the router signature of {pack.manifest.ref}"
    if layers[0].size > LIMIT:
        raise UnsoundSignatureError(f"{what} is {layers[0].size} bytes, over the limit of {LIMIT}")
    return parse_signature(pack.read(layers[0].digest), pack.manifest.base.root, what)


def drop_other_widths(
    signatures: dict[SkillName, Signature], left_out: SkippedSignatures, width: int
) -> None:
    """Leave out the signatures that have not the base's number of features."""
    for skill, one in list(signatures.items()):
        found = one.examples.shape[1]
        if found != width:
            left_out.refuse(
                skill, f"its router signature has {found} features a text, the base {width}"
            )
            del signatures[skill]
