"""What a manifest says of side files, against the files of the base."""

from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.sidefiles import REMOVED
from skillpm.verification.evidence import BaseFacts, Discrepancies, Discrepancy


def check_removed_files(manifest: Manifest, base: BaseFacts) -> Discrepancies:
    """A file that the pack removes is the one that the base has; what it lacks is not removed.

    A layered pack may remove what the set below it brought: that is not the base's to say.
    """
    if manifest.over:
        return
    for place, file in enumerate(manifest.files):
        data = base.files(file.path) if file.kind == REMOVED else None
        if data is not None and Digest.of(data) != file.digest:
            yield Discrepancy(f"files[{place}].digest", file.digest, Digest.of(data))
