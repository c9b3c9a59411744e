"""Check architecture facts against the same version of the library that the manifest names."""

from skillpm.architecture.ask import known_libraries
from skillpm.spec.manifest import Manifest
from skillpm.verification.evidence import BaseFacts, Discrepancies, Discrepancy


def check_architecture_facts(manifest: Manifest, base: BaseFacts) -> Discrepancies:
    """Compare the facts with those that the installed library gives for the base's config.

    Yields nothing if the manifest names another library version: the facts then remain a claim. A
    graft reads the facts from the manifest alone, so that no installed version changes a graft.
    """
    stated = manifest.architecture_facts
    if stated.library not in known_libraries():
        return
    actual = base.ask_facts()
    if actual.library != stated.library:
        return
    for key in ("tied", "names", "config_keys"):
        if getattr(stated, key) != getattr(actual, key):
            path = f"architecture_facts.{key}"
            yield Discrepancy(path, getattr(stated, key), getattr(actual, key))
