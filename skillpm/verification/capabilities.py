"""Check recorded probe results against the pack's probe file."""

from skillpm.checks.probes import check_problems
from skillpm.errors import SpecError
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Capability
from skillpm.spec.oci import PROBES_TYPE
from skillpm.spec.probes import METRICS, Probes, parse_probes
from skillpm.verification.claims import PROBED
from skillpm.verification.evidence import Discrepancies, Discrepancy, PackDocuments


def check_capabilities(pack: PackDocuments) -> Discrepancies:
    """Check that the probe file has each recorded metric, with as many items, exactly once.

    The recorded values are a claim: `skillpm probe` measures them.
    """
    probed = [
        (f"capabilities[{index}]", capability)
        for index, capability in enumerate(pack.manifest.capabilities)
        if capability.name == PROBED
    ]
    layers = pack.image.layer(PROBES_TYPE)
    if not layers:
        for path, _ in probed:
            yield Discrepancy(path, "a probe result", "no probe result: the pack has no probe file")
        return
    try:
        probes = parse_probes(pack.read(layers[0].digest), "the probe file", check_problems)
    except SpecError as problem:
        yield Discrepancy("the probe file", "present", f"a readable file: {problem.message}")
        return
    seen: set[str] = set()
    for path, capability in probed:
        yield from _check_probed(path, capability, probes, layers[0].digest)
        if capability.metric in seen:
            yield Discrepancy(f"{path}.metric", capability.metric, "each metric once")
        seen.add(capability.metric)
    for metric in sorted(probes.items.keys() - seen):
        yield Discrepancy("capabilities", "nothing", f"a result for the probes of `{metric}`")


def _check_probed(path: str, stated: Capability, probes: Probes, digest: Digest) -> Discrepancies:
    if stated.metric not in METRICS or stated.metric not in probes.items:
        metrics = ", ".join(sorted(probes.items))
        yield Discrepancy(f"{path}.metric", stated.metric, f"a metric of the probe file: {metrics}")
        return
    if stated.probes not in (None, digest):
        yield Discrepancy(f"{path}.probes", stated.probes, digest)
    count = len(probes.items[stated.metric])
    if stated.samples != count:
        yield Discrepancy(f"{path}.samples", stated.samples, count)
    if stated.base_value is None:
        yield Discrepancy(f"{path}.base_value", "nothing", "a number: `pack` measures the base too")
