"""Check a router signature as far as possible without its examples."""

from skillpm.errors import IntegrityError
from skillpm.routing.signature import parse_signature
from skillpm.spec.oci import ROUTER_TYPE
from skillpm.verification.evidence import Discrepancies, Discrepancy, PackDocuments


def check_signature(pack: PackDocuments) -> Discrepancies:
    """Check that the signature is valid and of the pack's base. Its examples are a claim."""
    for layer in pack.image.layer(ROUTER_TYPE):
        try:
            parse_signature(pack.read(layer.digest), pack.manifest.base.root, "the signature")
        except IntegrityError as problem:
            yield Discrepancy("the router signature", "present", f"a valid one: {problem.message}")
