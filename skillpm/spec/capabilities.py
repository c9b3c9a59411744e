"""The probes of a pack, and the values of them that its manifest records."""

from collections.abc import Mapping

from skillpm.errors import Problems, SpecError
from skillpm.spec.manifest import Capability, Manifest
from skillpm.spec.probes import FILE_LIMIT, ItemProblems, Probes, parse_probes

CAPABILITY = "probe"
"""The name of the capabilities that `pack --probes` records."""


def check_probes_size(manifest: Manifest, size: int) -> None:
    """Raise `SpecError` if a probe file of `size` bytes is too large."""
    if size > FILE_LIMIT:
        raise SpecError(
            f"the probe file of {manifest.ref} has {size} bytes; the limit is {FILE_LIMIT}",
            hint=removal_hint(manifest),
        )


def read_probes(manifest: Manifest, data: bytes, item_problems: ItemProblems) -> Probes:
    """The probes of a pack. Raises `SpecError` if the file or the recorded values are invalid."""
    try:
        probes = parse_probes(data, f"the probe file of {manifest.ref}", item_problems)
    except SpecError as problem:
        problem.hint = removal_hint(manifest)
        raise
    problems = Problems(f"the manifest of {manifest.ref}")
    metrics = [entry.metric for entry in manifest.capabilities if entry.name == CAPABILITY]
    for metric in sorted(probes.items):
        if metrics.count(metric) > 1:
            problems.add("capabilities", f"duplicate value of the probe metric {metric}")
    problems.raise_if_any(hint=removal_hint(manifest))
    return probes


def recorded_values(manifest: Manifest, probes: Probes) -> Mapping[str, Capability]:
    """The capabilities that the manifest records for the metrics of the probes, by metric."""
    named = {entry.metric: entry for entry in manifest.capabilities if entry.name == CAPABILITY}
    return {metric: named[metric] for metric in probes.items if metric in named}


def removal_hint(manifest: Manifest) -> str:
    """The hint for a pack whose probes cannot be used."""
    return (
        f"remove the skill with `skillpm uninstall {manifest.skill}`, and ask its author to fix "
        "the pack"
    )
