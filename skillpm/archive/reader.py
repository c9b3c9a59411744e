"""Reads untrusted `.skillpack` files. All blobs are hashed before their contents are used."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from skillpm.archive.layout import IndexEntry
from skillpm.archive.tar import (
    Layout,
    Slice,
    open_archive,
    read_layout,
    read_small,
    stream_of,
)
from skillpm.checks.probes import check_problems
from skillpm.errors import IntegrityError, SpecError
from skillpm.spec.capabilities import check_probes_size, read_probes
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.oci import PROBES_TYPE, PackImage, parse_image
from skillpm.spec.pack import check_pack, read_side_file
from skillpm.spec.parts import WEIGHTS_LIMIT
from skillpm.spec.sidefiles import size_limit


@dataclass(frozen=True)
class PackFile:
    """A verified pack file."""

    path: Path
    digest: Digest
    image_bytes: bytes
    image: PackImage
    manifest: Manifest
    blobs: dict[Digest, Slice]

    @property
    def size(self) -> int:
        """The total bytes of all blobs of the pack, including the OCI manifest."""
        return len(self.image_bytes) + sum(self.image.blobs.values())

    @property
    def file_size(self) -> int:
        """The bytes of the file on disk."""
        return self.path.stat().st_size

    def open_layer(self, digest: Digest) -> Slice:
        """Open a blob for reading by byte range."""
        return self.blobs[digest]

    def open_blob(self, digest: Digest) -> BinaryIO:
        """Open a blob as a stream."""
        return stream_of(self.blobs, digest, self.path)

    def read(self, digest: Digest) -> bytes:
        """Read a small blob into memory."""
        return read_small(self.blobs[digest], WEIGHTS_LIMIT)


def open_pack(path: Path) -> PackFile:
    """Read and verify a pack file: structure, every digest, every document.

    Costs one read and SHA-256 of the file. Raises `SpecError` or `IntegrityError`.
    """
    layout = read_layout(open_archive(path), "SkillPack")
    main = [entry for entry in layout.entries if "subject" not in layout.documents[entry.digest][1]]
    if len(main) != 1 or len(layout.documents) != len(layout.entries):
        raise SpecError(
            f"`{path}` is not a pack file: expected one pack, found {len(main)}",
            hint=f"to install a bundle, run `skillpm install --from {path}`",
        )
    pack = pack_of(layout, main[0])
    name = main[0].annotations.version if main[0].annotations else None
    if name != str(pack.manifest.version):
        raise SpecError(
            f"`{path}` has the ref name {name!r}, expected the version of its manifest, "
            f"{pack.manifest.version}"
        )
    _check_signatures(pack, layout.documents)
    return pack


def pack_of(layout: Layout, entry: IndexEntry) -> PackFile:
    """Verify a pack of a layout with all its documents. Raises `SpecError`, `IntegrityError`."""
    path, data = layout.file.path, layout.documents[entry.digest][0]
    image = parse_image(data)
    for digest, size in image.blobs.items():
        if digest not in layout.blobs or layout.blobs[digest].size != size:
            raise IntegrityError(f"`{path}`: blob `{digest}` of {size} bytes is missing")
    manifest = parse_manifest(read_small(layout.blobs[image.config.digest]))
    check_pack(image, manifest)
    for file in manifest.carried:
        content = read_small(layout.blobs[file.digest], size_limit(file.path))
        read_side_file(file, content, manifest.architecture_facts)
    for layer in image.layer(PROBES_TYPE):
        check_probes_size(manifest, layer.size)
        read_probes(manifest, read_small(layout.blobs[layer.digest]), check_problems)
    return PackFile(path, entry.digest, data, image, manifest, layout.blobs)


def _check_signatures(
    pack: PackFile, documents: dict[Digest, tuple[bytes, dict[str, object]]]
) -> None:
    """Raise `SpecError` unless every other manifest has the pack as subject, and owns its blobs."""
    known = {pack.digest, *pack.image.blobs}
    for digest, (_, plain) in documents.items():
        if digest == pack.digest:
            continue
        subject = plain.get("subject")
        if not isinstance(subject, dict) or subject.get("digest") != str(pack.digest):
            raise SpecError(f"`{pack.path}`: the subject of manifest {digest} is not this pack")
        known |= {digest, *_referenced(plain)}
    strays = sorted(pack.blobs.keys() - known)
    if strays:
        raise SpecError(f"`{pack.path}`: no document references the blob {strays[0]}")


def _referenced(plain: dict[str, object]) -> set[Digest]:
    layers = plain.get("layers")
    parts = [plain.get("config"), *(layers if isinstance(layers, list) else [])]
    return {Digest(str(part.get("digest"))) for part in parts if isinstance(part, dict)}
