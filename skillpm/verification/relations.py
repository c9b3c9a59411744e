"""What a layered pack says of the set below it, against the packs of that set."""

from skillpm.spec.manifest import Manifest
from skillpm.spec.requirements import Requirement
from skillpm.verification.evidence import Decoded, Discrepancies, Discrepancy


def check_requirements(manifest: Manifest) -> Discrepancies:
    """Each entry of `over` is required in exactly its version."""
    required = {str(need) for need in manifest.requires}
    for place, lower in enumerate(manifest.over):
        exact = str(Requirement.exact(lower.skill, lower.version))
        if exact not in required:
            yield Discrepancy(
                f"over[{place}]",
                f"{lower.skill} {lower.version}",
                "a requirement of exactly it",
            )


def check_lower(manifest: Manifest, decoded: Decoded) -> Discrepancies:
    """`over` names every pack below, as those packs call themselves, and all are of one base."""
    lower = dict(decoded.lower)
    named = {one.digest for one in manifest.over}
    for place, one in enumerate(manifest.over):
        below = lower.get(one.digest)
        if below is None:
            yield Discrepancy(f"over[{place}].digest", one.digest, "a pack of the set below")
            continue
        if one.skill != below.skill:
            yield Discrepancy(f"over[{place}].skill", one.skill, below.skill)
        if one.version != below.version:
            yield Discrepancy(f"over[{place}].version", one.version, below.version)
        if below.base.root != manifest.base.root:
            yield Discrepancy(
                f"over[{place}].digest", one.digest, f"a pack of {manifest.base.root}"
            )
    for digest, below in decoded.lower:
        if digest not in named:
            yield Discrepancy("over", "nothing", f"{below.ref}, which it is layered on too")
