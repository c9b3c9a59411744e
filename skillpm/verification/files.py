"""Check removed side files against the files of the base."""

from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest
from skillpm.spec.sidefiles import REMOVED
from skillpm.verification.evidence import BaseFacts, Discrepancies, Discrepancy


def check_removed_files(manifest: Manifest, base: BaseFacts) -> Discrepancies:
    """Check that a file that the pack removes has the digest of the base's file.

    A file that the base lacks is skipped. A layered pack is skipped too, because it may remove a
    file of a pack that it is layered on.
    """
    if manifest.over:
        return
    for index, file in enumerate(manifest.files):
        data = base.files(file.path) if file.kind == REMOVED else None
        if data is not None and Digest.of(data) != file.digest:
            yield Discrepancy(f"files[{index}].digest", file.digest, Digest.of(data))
