"""The router signatures of a set, compared: near-equal ones, and what cannot be used."""

from collections import Counter

from skillpm.flows.packs.signatures import signatures_of
from skillpm.routing.router import Router
from skillpm.spec.lockfile import Lockfile
from skillpm.spec.nearness import SignatureSurvey
from skillpm.store.blobs import Store


def survey_signatures(store: Store, lock: Lockfile) -> SignatureSurvey:
    """Compare all signatures of a lock, whose blobs are in the store. The base is not needed.

    Its width is not known here: a signature of another width than most cannot be used. Costs what
    a router costs.
    """
    signatures, left_out = signatures_of(store, lock.skills, lock.base.root)
    widths = Counter(one.examples.shape[1] for one in signatures.values())
    unsound = dict(left_out.unsound)
    if not widths:
        return SignatureSurvey((), unsound)
    width = max(sorted(widths), key=lambda each: widths[each])
    for skill, one in list(signatures.items()):
        found = one.examples.shape[1]
        if found != width:
            unsound[skill] = f"its router signature has {found} features a text, others {width}"
            del signatures[skill]
    pairs = Router.of(signatures, width).near if len(signatures) > 1 else ()
    return SignatureSurvey(pairs, unsound)
