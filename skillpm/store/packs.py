"""Packs in the store: their documents, verified, and their layers by byte range."""

from dataclasses import dataclass

from skillpm.checkpoint.files import OpenFile
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.oci import PackImage, parse_image
from skillpm.spec.pack import check_pack, read_side_file
from skillpm.store.blobs import BlobSource, Store
from skillpm.store.errors import DamagedBlobError, MissingBlobError

_IMAGE_LIMIT = 1 << 26


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
        """The bytes of all blobs of the pack, its OCI manifest included."""
        return self.image_size + sum(self.image.blobs.values())

    def open_layer(self, digest: Digest) -> OpenFile:
        """A layer by byte range, hashed."""
        return self.store.open_sized(digest, self.image.blobs[digest])

    def read(self, digest: Digest) -> bytes:
        """A small blob whole, hashed."""
        return self.store.read(digest)


def load_pack(store: Store, digest: Digest) -> StoredPack:
    """The pack with this digest. Raises `NotFoundError` where a document is not in the store."""
    data = store.read(digest)
    image = parse_image(data)
    manifest = parse_manifest(store.read(image.config.digest))
    check_pack(image, manifest)
    return StoredPack(digest, image, manifest, store, len(data))


def fetch_documents(store: Store, digest: Digest, source: BlobSource) -> tuple[StoredPack, int]:
    """Bring in the documents of a pack: OCI manifest, manifest, side files; not the payload."""
    fetched = 0
    with source.open_blob(digest) as stream:
        data = stream.read(_IMAGE_LIMIT)
    digest.check(data, "the pack's OCI manifest")
    fetched += store.fetch(digest, len(data), source)
    image = parse_image(data)
    fetched += store.fetch(image.config.digest, image.config.size, source)
    pack = load_pack(store, digest)
    for file in pack.manifest.carried:
        fetched += store.fetch(file.digest, image.blobs[file.digest], source)
        read_side_file(file, store.read(file.digest), pack.manifest.architecture_facts)
    return pack, fetched


def fetch_pack(store: Store, digest: Digest, source: BlobSource) -> tuple[StoredPack, int]:
    """Bring in a whole pack; return it and the bytes that were fetched."""
    pack, fetched = fetch_documents(store, digest, source)
    for blob, size in pack.image.blobs.items():
        fetched += store.fetch(blob, size, source)
    return pack, fetched


def is_complete(store: Store, digest: Digest) -> bool:
    """Whether every blob of the pack is in the store, by name and size."""
    if store.status(digest) is None:
        return False
    image = parse_image(store.read(digest))
    return all(store.has(blob, size) for blob, size in image.blobs.items())


def damage_of(store: Store, digest: Digest) -> DamagedBlobError | MissingBlobError | None:
    """The first blob of the pack that the store lacks or has damaged; None where all are whole.

    Costs one read of what this process has not hashed before. Raises `DeniedError`.
    """
    try:
        for blob, size in parse_image(store.read(digest)).blobs.items():
            if blob not in store.taken:
                store.open_sized(blob, size)
    except (MissingBlobError, DamagedBlobError) as problem:
        return problem
    return None
