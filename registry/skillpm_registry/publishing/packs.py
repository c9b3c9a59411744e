"""Reading and checking a pack before it is published."""

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import parse_manifest
from skillpm.spec.oci import Descriptor, parse_image
from skillpm.spec.pack import check_pack
from skillpm_registry.blobs.protocol import OpenBlob
from skillpm_registry.blobs.verify import verified
from skillpm_registry.catalog.rows import PackRow


def read_pack(image: bytes, open_blob: OpenBlob) -> PackRow:
    """Read the pack whose OCI manifest is `image`; `open_blob` opens the blob of its manifest.

    Raises `SpecError` and `IntegrityError`.
    """
    parsed, digest = parse_image(image), Digest.of(image)
    manifest = parse_manifest(_document(parsed.config, open_blob))
    check_pack(parsed, manifest)
    return PackRow(digest, parsed, manifest, {digest: len(image), **parsed.blobs})


def _document(config: Descriptor, open_blob: OpenBlob) -> bytes:
    if config.size > json.SIZE_LIMIT:
        raise SpecError(
            f"the manifest should have at most {json.SIZE_LIMIT} bytes, has {config.size}"
        )
    with open_blob(config.digest) as source:
        return b"".join(verified(source, config.digest, config.size))
