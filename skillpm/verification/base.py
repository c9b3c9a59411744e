"""What a manifest says of its base, against the base itself."""

from skillpm.spec.manifest import Manifest
from skillpm.verification.evidence import BaseFacts, Discrepancies, Discrepancy


def check_base_facts(manifest: Manifest, base: BaseFacts) -> Discrepancies:
    """Root, architecture, dtype, parameters and tensors. Nothing where the base is only near.

    The name is what the author calls the base: its root is what it is.
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
