"""What a manifest says of the architecture, against what the same version of the library says."""

from skillpm.architecture.ask import known_libraries
from skillpm.spec.manifest import Manifest
from skillpm.verification.evidence import BaseFacts, Discrepancies, Discrepancy


def check_architecture_facts(manifest: Manifest, base: BaseFacts) -> Discrepancies:
    """Facts are those that the library gives for the base's config, where it is here.

    A graft reads the manifest's facts and asks no library, so that of another version they stay a
    claim. Facts that are left out change no config.
    """
    stated = manifest.architecture_facts
    if stated.library not in known_libraries():
        return
    here = base.ask_facts()
    if here.library != stated.library:
        return
    for key in ("tied", "names", "config_keys"):
        if getattr(stated, key) != getattr(here, key):
            path = f"architecture_facts.{key}"
            yield Discrepancy(path, getattr(stated, key), getattr(here, key))
