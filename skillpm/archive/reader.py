"""Reading a `.skillpack` from a stranger: everything is hashed before anything is believed."""

import hashlib
import io
import re
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from skillpm.archive.layout import (
    BLOBS,
    INDEX_FILE,
    LAYOUT_FILE,
    IndexEntry,
    check_layout,
    read_index,
)
from skillpm.checkpoint.files import OpenFile
from skillpm.errors import DigestMismatchError, IntegrityError, NotFoundError, SpecError
from skillpm.spec import json
from skillpm.spec.digests import Digest
from skillpm.spec.manifest import Manifest, parse_manifest
from skillpm.spec.oci import PackImage, parse_image
from skillpm.spec.pack import check_pack, read_side_file

_BLOB = re.compile(rf"{BLOBS}([0-9a-f]{{64}})", re.ASCII)
_FOLDERS = frozenset({"blobs", "blobs/sha256"})
_PIECE = 1 << 20
_SMALL = 1 << 26


@dataclass(frozen=True)
class Slice:
    """A part of an open file, read as if it were one."""

    file: OpenFile
    start: int
    size: int

    def read(self, start: int, stop: int) -> bytes:
        """The bytes from `start` to before `stop`. Raises `IntegrityError` past the end."""
        if not 0 <= start <= stop <= self.size:
            raise IntegrityError(f"`{self.file.path}` holds no bytes {start}..{stop} there")
        return self.file.read(self.start + start, self.start + stop)


class _Stream(io.RawIOBase):
    """A slice as a stream."""

    def __init__(self, part: Slice) -> None:
        self._part = part
        self._position = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        stop = min(self._position + len(buffer), self._part.size)
        data = self._part.read(self._position, stop)
        buffer[: len(data)] = data
        self._position = stop
        return len(data)


@dataclass(frozen=True)
class PackFile:
    """A pack file whose every blob has been hashed."""

    path: Path
    digest: Digest
    image_bytes: bytes
    image: PackImage
    manifest: Manifest
    blobs: dict[Digest, Slice]

    @property
    def size(self) -> int:
        """The bytes of all blobs of the pack, its OCI manifest included."""
        return len(self.image_bytes) + sum(self.image.blobs.values())

    def open_layer(self, digest: Digest) -> Slice:
        """A blob by byte range."""
        return self.blobs[digest]

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A blob as a stream."""
        if digest not in self.blobs:
            raise NotFoundError(f"blob `{digest}` is not in `{self.path}`")
        return io.BufferedReader(_Stream(self.blobs[digest]), _PIECE)

    def read(self, digest: Digest) -> bytes:
        """A small blob whole."""
        return _small(self.blobs[digest])


def open_pack(path: Path) -> PackFile:
    """Read and verify a pack file: structure, every digest, every document.

    Costs one read and SHA-256 of the file. Raises `SpecError` or `IntegrityError`.
    """
    file = OpenFile(path)
    entries = _entries(file)
    blobs = {d: part for name, part in entries.items() if (d := _digest_of(name)) is not None}
    for digest, part in blobs.items():
        _verify(digest, part)
    if LAYOUT_FILE not in entries or INDEX_FILE not in entries:
        raise SpecError(f"`{path}` is not a SkillPack: it is not an OCI image layout")
    check_layout(_small(entries[LAYOUT_FILE]))
    described = read_index(_small(entries[INDEX_FILE])).manifests
    documents = {entry.digest: _document(entry, blobs) for entry in described}
    main = [entry for entry in described if "subject" not in documents[entry.digest][1]]
    if len(main) != 1 or len(documents) != len(described):
        raise SpecError(f"`{path}` holds {len(main)} packs; expected exactly one")
    pack = _pack(path, main[0], documents[main[0].digest][0], blobs)
    _check_signatures(pack, documents)
    return pack


def _pack(path: Path, entry: IndexEntry, data: bytes, blobs: dict[Digest, Slice]) -> PackFile:
    image = parse_image(data)
    for digest, size in image.blobs.items():
        if digest not in blobs or blobs[digest].size != size:
            raise IntegrityError(f"`{path}`: blob `{digest}` of {size} bytes is missing")
    manifest = parse_manifest(_small(blobs[image.config.digest]))
    check_pack(image, manifest)
    for file in manifest.files:
        read_side_file(file, _small(blobs[file.digest]))
    name = entry.annotations.version if entry.annotations else None
    if name != str(manifest.version):
        raise SpecError(f"`{path}` is named {name!r}, but its manifest says {manifest.version}")
    return PackFile(path, entry.digest, data, image, manifest, blobs)


def _check_signatures(
    pack: PackFile, documents: dict[Digest, tuple[bytes, dict[str, object]]]
) -> None:
    """Every further manifest is about this pack, and every blob belongs to one of them."""
    known = {pack.digest, *pack.image.blobs}
    for digest, (_, plain) in documents.items():
        if digest == pack.digest:
            continue
        subject = plain.get("subject")
        if not isinstance(subject, dict) or subject.get("digest") != str(pack.digest):
            raise SpecError(f"`{pack.path}`: manifest {digest} is not about this pack")
        known |= {digest, *_referenced(plain)}
    strays = sorted(pack.blobs.keys() - known)
    if strays:
        raise SpecError(f"`{pack.path}`: blob {strays[0]} belongs to nothing")


def _referenced(plain: dict[str, object]) -> set[Digest]:
    layers = plain.get("layers")
    parts = [plain.get("config"), *(layers if isinstance(layers, list) else [])]
    return {Digest(str(part.get("digest"))) for part in parts if isinstance(part, dict)}


def _document(entry: IndexEntry, blobs: dict[Digest, Slice]) -> tuple[bytes, dict[str, object]]:
    part = blobs.get(entry.digest)
    if part is None or part.size != entry.size:
        raise IntegrityError(f"index.json names `{entry.digest}`, which is not there")
    data = _small(part)
    return data, json.parse_object(data, f"manifest `{entry.digest}`")


def _small(part: Slice) -> bytes:
    if part.size > _SMALL:
        raise SpecError(f"`{part.file.path}` holds a document of {part.size} bytes")
    return part.read(0, part.size)


def _digest_of(name: str) -> Digest | None:
    found = _BLOB.fullmatch(name)
    return Digest(f"sha256:{found[1]}") if found else None


def _verify(digest: Digest, part: Slice) -> None:
    found = hashlib.sha256()
    for start in range(0, part.size, _PIECE):
        found.update(part.read(start, min(start + _PIECE, part.size)))
    if found.hexdigest() != digest.hex:
        raise DigestMismatchError(
            f"a blob of `{part.file.path}`",
            expected=str(digest),
            found=f"sha256:{found.hexdigest()}",
            hint="the file is damaged or was altered: get it again",
        )


def _entries(file: OpenFile) -> dict[str, Slice]:
    """The regular files of the tar by name. Refuses every other kind, and every other name."""
    entries: dict[str, Slice] = {}
    end = 0
    try:
        with file.path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                end = member.offset_data + -(-member.size // 512) * 512
                if member.isdir() and member.name in _FOLDERS:
                    continue
                _check_member(member, entries, file)
                entries[member.name] = Slice(file, member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OverflowError, OSError) as problem:
        raise SpecError(f"`{file.path}` is not a SkillPack: {problem}") from problem
    _check_padding(file, end)
    return entries


def _check_member(member: tarfile.TarInfo, entries: dict[str, Slice], file: OpenFile) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    name = member.name
    if not plain or (name not in (INDEX_FILE, LAYOUT_FILE) and _digest_of(name) is None):
        raise SpecError(f"`{file.path}` holds {name!r}, which no SkillPack has")
    if name in entries:
        raise SpecError(f"`{file.path}` holds {name!r} twice")
    if member.offset_data + member.size > file.size:
        raise IntegrityError(f"`{file.path}` is cut off within {name!r}")


def _check_padding(file: OpenFile, end: int) -> None:
    """What follows the last entry is zeros: a damaged header must not hide the entries after it."""
    for start in range(min(end, file.size), file.size, _PIECE):
        if file.read(start, min(start + _PIECE, file.size)).strip(b"\0"):
            raise IntegrityError(f"`{file.path}` is damaged: its entries end before the file does")
