"""Compare the router signatures of a set: find nearly equal ones and unusable ones."""

from collections import Counter

from skillpm.flows.packs.signatures import signatures_of
from skillpm.routing.router import Router
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.nearness import SignatureSurvey
from skillpm.store.blobs import Store


def survey_signatures(store: Store, lock: Lockfile) -> SignatureSurvey:
    """Compare all signatures of a lock. Needs the blobs in the store, but not the base.

    The base's number of features is unknown here, so the most common number is taken as right, and
    signatures with another number are unusable. Costs as much as building a router.
    """
    signatures, left_out = signatures_of(store, lock.skills, lock.base.root)
    widths = Counter(signature.examples.shape[1] for signature in signatures.values())
    unsound = dict(left_out.unsound)
    if not widths:
        return SignatureSurvey((), unsound)
    width = max(sorted(widths), key=lambda candidate: widths[candidate])
    for skill, signature in list(signatures.items()):
        own = signature.examples.shape[1]
        if own != width:
            unsound[skill] = (
                f"its router signature has {own} features per text, the others have {width}"
            )
            del signatures[skill]
    pairs = Router.of(signatures, width).near if len(signatures) > 1 else ()
    return SignatureSurvey(pairs, unsound)
