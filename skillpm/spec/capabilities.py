"""The probes that a pack carries, beside the values that its manifest records of them."""

from collections.abc import Mapping

from skillpm.errors import Problems, SpecError
from skillpm.spec.manifest import Capability, Manifest
from skillpm.spec.probes import FILE_LIMIT, Probes, parse_probes

CAPABILITY = "probe"
"""The name of the capabilities that `pack --probes` records."""


def check_probes_size(manifest: Manifest, size: int) -> None:
    """Raise `SpecError` for a probe file that is too large to be read."""
    if size > FILE_LIMIT:
        raise SpecError(
            f"the probe file of {manifest.ref} is {size} bytes; at most {FILE_LIMIT} are read",
            hint=removal_hint(manifest),
        )


def read_probes(manifest: Manifest, data: bytes) -> Probes:
    """The probes of a pack. Raises `SpecError` where they, or what is recorded, cannot be read."""
    try:
        probes = parse_probes(data, f"the probe file of {manifest.ref}")
    except SpecError as problem:
        problem.hint = removal_hint(manifest)
        raise
    problems = Problems(f"the manifest of {manifest.ref}")
    metrics = [each.metric for each in manifest.capabilities if each.name == CAPABILITY]
    for metric in sorted(probes.items):
        if metrics.count(metric) > 1:
            problems.add("capabilities", f"two values are recorded of the probe {metric}")
    problems.raise_if_any(hint=removal_hint(manifest))
    return probes


def recorded_values(manifest: Manifest, probes: Probes) -> Mapping[str, Capability]:
    """What the manifest records of each metric that the probes ask."""
    named = {each.metric: each for each in manifest.capabilities if each.name == CAPABILITY}
    return {metric: named[metric] for metric in probes.items if metric in named}


def removal_hint(manifest: Manifest) -> str:
    """The hint for a pack whose probes cannot be used."""
    skill = manifest.skill
    return f"leave it out (`skillpm uninstall {skill}`), and ask its author for another pack"
