"""Check the statements about the base against the base itself."""

from skillpm.spec.manifest import Manifest
from skillpm.verification.evidence import BaseFacts, Discrepancies, Discrepancy


def check_base_facts(manifest: Manifest, base: BaseFacts) -> Discrepancies:
    """Compare root, architecture, dtype, parameters and tensors.

    Yields nothing if only the footprint of the base matches (law 8). The base's name is a claim:
    the root identifies the base.
    """
    if not base.exact:
        return
    stated = manifest.base
    actual = {
        "root": base.root,
        "dtype": base.dtype,
        "parameters": base.parameters,
        "tensors": len(base.specs),
        "architecture": base.architecture or stated.architecture,
    }
    for key, value in actual.items():
        claimed = getattr(stated, key)
        if claimed != value:
            yield Discrepancy(f"base.{key}", claimed, value)
