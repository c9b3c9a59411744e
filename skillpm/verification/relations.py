"""Check the statements about the packs that a pack is layered on."""

from skillpm.spec.manifest import Manifest
from skillpm.spec.requirements import Requirement
from skillpm.verification.evidence import Decoded, Discrepancies, Discrepancy


def check_requirements(manifest: Manifest) -> Discrepancies:
    """Check that each entry of `over` is required at exactly its version."""
    required = {str(requirement) for requirement in manifest.requires}
    for index, entry in enumerate(manifest.over):
        exact = str(Requirement.exact(entry.skill, entry.version))
        if exact not in required:
            yield Discrepancy(
                f"over[{index}]",
                f"{entry.skill} {entry.version}",
                f"the requirement `{exact}`",
            )


def check_layered_on(manifest: Manifest, decoded: Decoded) -> Discrepancies:
    """Check that `over` lists exactly the packs below, by their own names, all of one base."""
    manifests = dict(decoded.lower)
    listed = {entry.digest for entry in manifest.over}
    for index, entry in enumerate(manifest.over):
        below = manifests.get(entry.digest)
        if below is None:
            yield Discrepancy(
                f"over[{index}].digest",
                entry.digest,
                "the digest of a pack that this one is layered on",
            )
            continue
        if entry.skill != below.skill:
            yield Discrepancy(f"over[{index}].skill", entry.skill, below.skill)
        if entry.version != below.version:
            yield Discrepancy(f"over[{index}].version", entry.version, below.version)
        if below.base.root != manifest.base.root:
            yield Discrepancy(
                f"over[{index}].digest", entry.digest, f"a pack of the base {manifest.base.root}"
            )
    for digest, below in decoded.lower:
        if digest not in listed:
            yield Discrepancy("over", "nothing", f"{below.ref}, which the pack is layered on too")
