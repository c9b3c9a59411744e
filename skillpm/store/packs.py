"""Packs in the store: verified documents, and layers that are read by byte range."""

import threading
from contextlib import suppress
from dataclasses import dataclass

from skillpm.checkpoint.files import OpenFile
from skillpm.checks.probes import check_problems
from skillpm.errors import StateError
from skillpm.parallel import Advance, no_advance, parallel_map
from skillpm.spec.capabilities import check_probes_size, read_probes
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.memo import parse_once
from skillpm.spec.oci import PROBES_TYPE, PackImage, parse_image
from skillpm.spec.pack import check_pack, read_side_file
from skillpm.spec.probes import Probes
from skillpm.store.blobs import Store
from skillpm.store.errors import DamagedBlobError, MissingBlobError
from skillpm.store.sources import BlobSource

_DOCUMENT_LIMIT = 1 << 26
PARALLEL_BLOBS = 4
"""Blobs of one pack that are fetched at the same time."""


@dataclass(frozen=True)
class StoredPack:
    """A pack whose documents are in the store and have been verified."""

    digest: Digest
    image: PackImage
    manifest: Manifest
    store: Store
    image_size: int

    @property
    def size(self) -> int:
        """The size of all blobs of the pack in bytes, including its OCI manifest."""
        return self.image_size + sum(self.image.blobs.values())

    @property
    def file_size(self) -> int:
        """The size of a pack that is no file: that of its blobs."""
        return self.size

    def open_layer(self, digest: Digest) -> OpenFile:
        """Open a layer for reading byte ranges, after hashing it."""
        return self.store.open_sized(digest, self.image.blobs[digest])

    def read(self, digest: Digest) -> bytes:
        """The whole content of a small blob, after hashing it."""
        return self.store.read(digest)

    def probes(self) -> Probes | None:
        """The probes that the pack carries, if any. Raises `SpecError` if they cannot be read."""
        layers = self.image.layer(PROBES_TYPE)
        if not layers:
            return None
        check_probes_size(self.manifest, layers[0].size)
        return read_probes(self.manifest, self.read(layers[0].digest), check_problems)


def load_pack(store: Store, digest: Digest) -> StoredPack:
    """Load the pack with this digest, and check that its documents agree.

    Raises `MissingBlobError` if a document is not in the store.
    """
    data = store.read(digest)
    config = parse_image(data).config
    image, manifest = _parse_documents(store.read(config.digest), data)
    return StoredPack(digest, image, manifest, store, len(data))


@parse_once
def _parse_documents(manifest: bytes, image: bytes) -> tuple[PackImage, Manifest]:
    """Parse both documents of a pack, and check that they agree."""
    documents = parse_image(image), parse_manifest(manifest)
    check_pack(*documents)
    return documents


def fetch_documents(
    store: Store, digest: Digest, source: BlobSource, advance: Advance = no_advance
) -> tuple[StoredPack, int]:
    """Fetch the documents of a pack (OCI manifest, manifest, side files), but not the payload.

    Documents that the store has intact are not fetched. Returns the pack and the number of bytes
    fetched.
    """
    data = _stored_blob(store, digest) or _read_document(digest, source, "OCI manifest")
    fetched = store.put(digest, data)
    advance(len(data))
    image = parse_image(data)
    fetched += store.fetch(image.config.digest, image.config.size, source, advance)
    pack = load_pack(store, digest)
    for file in pack.manifest.carried:
        fetched += store.fetch(file.digest, image.blobs[file.digest], source, advance)
        read_side_file(file, store.read(file.digest), pack.manifest.architecture_facts)
    return pack, fetched


def read_documents(store: Store, digest: Digest, source: BlobSource) -> StoredPack:
    """Read the OCI manifest and the manifest of a pack, and check that they agree.

    Documents that the store has intact are not read from the source. Nothing is written, so the
    store may lack the pack's other blobs.
    """
    data = _stored_blob(store, digest) or _read_document(digest, source, "OCI manifest")
    config = parse_image(data).config.digest
    document = _stored_blob(store, config) or _read_document(config, source, "manifest")
    image, manifest = _parse_documents(document, data)
    return StoredPack(digest, image, manifest, store, len(data))


def _stored_blob(store: Store, digest: Digest) -> bytes | None:
    """The content of a small blob, if the store has it intact."""
    with suppress(MissingBlobError, DamagedBlobError):
        return store.read(digest)
    return None


def _read_document(digest: Digest, source: BlobSource, what: str) -> bytes:
    """Read a document of a pack. Raises `DigestMismatchError` for other bytes."""
    data = bytearray()
    with source.open_blob(digest) as stream:
        while len(data) <= _DOCUMENT_LIMIT and (
            chunk := stream.read(_DOCUMENT_LIMIT + 1 - len(data))
        ):
            data += chunk
    document = bytes(data)
    digest.check(document, f"the pack's {what}")
    return document


def fetch_pack(
    store: Store, digest: Digest, source: BlobSource, advance: Advance = no_advance
) -> tuple[StoredPack, int]:
    """Fetch a whole pack, several blobs at a time. Returns the pack and the bytes fetched.

    `advance` counts the bytes of all blobs, also of those that the store had.
    """
    stop = threading.Event()

    def count(size: int) -> None:
        if stop.is_set():
            raise StateError("the download was stopped")
        advance(size)

    pack, fetched = fetch_documents(store, digest, source, count)
    done = {pack.image.config.digest, *(file.digest for file in pack.manifest.carried)}
    rest = [(blob, size) for blob, size in pack.image.blobs.items() if blob not in done]
    fetched += sum(
        parallel_map(
            lambda blob: store.fetch(*blob, source, count),
            rest,
            workers=min(len(rest), PARALLEL_BLOBS) or 1,
            stop=stop.set,
        )
    )
    return pack, fetched


def is_complete(store: Store, digest: Digest) -> bool:
    """Whether the store has a blob of the right size for every blob of the pack."""
    if store.status(digest) is None:
        return False
    image = parse_image(store.read(digest))
    return all(store.has(blob, size) for blob, size in image.blobs.items())


def damage_of(store: Store, digest: Digest) -> DamagedBlobError | MissingBlobError | None:
    """An error for the first blob of the pack that is missing or damaged; None if all are intact.

    Reads every blob that this process has not hashed before. Raises `DeniedError`.
    """
    try:
        for blob, size in parse_image(store.read(digest)).blobs.items():
            if blob not in store.taken:
                store.open_sized(blob, size)
    except (MissingBlobError, DamagedBlobError) as problem:
        return problem
    return None
