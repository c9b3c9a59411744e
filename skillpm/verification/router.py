"""A router signature, against what can be said of it without its examples."""

from skillpm.errors import IntegrityError
from skillpm.routing.signature import parse_signature
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.verification.evidence import Discrepancies, Discrepancy, PackDocuments


def check_signature(pack: PackDocuments) -> Discrepancies:
    """It can be read, and is of the pack's own base. Which examples it is of is a claim."""
    for layer in pack.image.layer(ROUTER_TYPE):
        try:
            parse_signature(pack.read(layer.digest), pack.manifest.base.root, "the signature")
        except IntegrityError as problem:
            yield Discrepancy("the router signature", "carried", f"a sound one: {problem.message}")
