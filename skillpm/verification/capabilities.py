"""What a manifest records of its probes, against the probe file that the pack carries."""

from skillpm.errors import SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Capability
from skillpm.spec.oci import PROBES_TYPE
from skillpm.spec.probes import METRICS, Probes, parse_probes
from skillpm.verification.claims import PROBED
from skillpm.verification.evidence import Discrepancies, Discrepancy, PackDocuments


def check_capabilities(pack: PackDocuments) -> Discrepancies:
    """Each recorded metric is asked by the probe file, by as many items as recorded; and each once.

    What the models answered is a claim: `skillpm probe` measures it here.
    """
    probed = [
        (f"capabilities[{place}]", one)
        for place, one in enumerate(pack.manifest.capabilities)
        if one.name == PROBED
    ]
    layers = pack.image.layer(PROBES_TYPE)
    if not layers:
        for path, _ in probed:
            yield Discrepancy(path, "measured by probes", "none: the pack carries no probes")
        return
    try:
        probes = parse_probes(pack.read(layers[0].digest), "the probe file")
    except SpecError as problem:
        yield Discrepancy("the probe file", "carried", f"one that can be read: {problem.message}")
        return
    seen: set[str] = set()
    for path, one in probed:
        yield from _check_probed(path, one, probes, layers[0].digest)
        if one.metric in seen:
            yield Discrepancy(f"{path}.metric", one.metric, "another: it is recorded twice")
        seen.add(one.metric)
    for metric in sorted(probes.items.keys() - seen):
        yield Discrepancy("capabilities", "nothing", f"what the probes gave for {metric}")


def _check_probed(path: str, stated: Capability, probes: Probes, digest: Digest) -> Discrepancies:
    if stated.metric not in METRICS or stated.metric not in probes.items:
        asked = ", ".join(sorted(probes.items))
        yield Discrepancy(f"{path}.metric", stated.metric, f"one that the probes ask for: {asked}")
        return
    if stated.probes not in (None, digest):
        yield Discrepancy(f"{path}.probes", stated.probes, digest)
    count = len(probes.items[stated.metric])
    if stated.samples != count:
        yield Discrepancy(f"{path}.samples", stated.samples, count)
    if stated.base_value is None:
        yield Discrepancy(f"{path}.base_value", "nothing", "a number: probes run on the base too")
