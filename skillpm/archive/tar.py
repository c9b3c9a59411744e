"""Reads the tar of a pack or a bundle: regular files with known names, by byte range."""

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
from skillpm.checkpoint.damage import POINTER_BYTES, check_no_pointer
from skillpm.checkpoint.files import OpenFile
from skillpm.errors import DigestMismatchError, IntegrityError, NotFoundError, SpecError
from skillpm.files.hashing import CHUNK, RangeStream, digest_of
from skillpm.files.named import missing_path_hint
from skillpm.spec import json
from skillpm.spec.digests import Digest

_BLOB = re.compile(rf"{BLOBS}([0-9a-f]{{64}})", re.ASCII)
_FOLDERS = frozenset({"blobs", "blobs/sha256"})
_SMALL = 1 << 26
_PACKING = "`skillpm pack` prints the path of the file that it writes"
_DAMAGED = "the file is damaged or was changed; download it again"


@dataclass(frozen=True)
class Slice:
    """A range of bytes of an open file, addressed from 0."""

    file: OpenFile
    start: int
    size: int

    def read(self, start: int, stop: int) -> bytes:
        """The bytes [start, stop). Raises `IntegrityError` outside the slice."""
        if not 0 <= start <= stop <= self.size:
            raise IntegrityError(
                f"`{self.file.path}`: bytes {start}..{stop} are outside of a blob of {self.size} "
                "bytes"
            )
        return self.file.read(self.start + start, self.start + stop)


@dataclass(frozen=True)
class Layout:
    """An OCI image layout in a tar, with all blobs hashed.

    `documents` maps the manifests listed in `index.json` to their bytes and their parsed JSON.
    """

    file: OpenFile
    blobs: dict[Digest, Slice]
    entries: tuple[IndexEntry, ...]
    documents: dict[Digest, tuple[bytes, dict[str, object]]]


def open_archive(path: Path) -> OpenFile:
    """Open a pack or bundle that the user named. Raises `NotFoundError` if there is none."""
    if not path.exists():
        raise NotFoundError(
            f"there is no file `{path}`", hint=missing_path_hint(path, otherwise=_PACKING)
        )
    return OpenFile(path)


def stream_of(blobs: dict[Digest, Slice], digest: Digest, path: Path) -> BinaryIO:
    """Open a blob of a file as a stream. Raises `NotFoundError`."""
    if digest not in blobs:
        raise NotFoundError(f"blob `{digest}` is not in `{path}`")
    return io.BufferedReader(RangeStream(blobs[digest]), CHUNK)


def read_layout(file: OpenFile, kind: str) -> Layout:
    """Read and verify a layout: structure, digests of all blobs, and listed manifests.

    Costs one read and one SHA-256 of the file. `kind` names the type of file in messages. Raises
    `SpecError` or `IntegrityError`.
    """
    check_no_pointer(file.read(0, min(POINTER_BYTES, file.size)), file.path)
    entries = _entries(file, kind)
    blobs = {d: part for name, part in entries.items() if (d := _digest_of(name)) is not None}
    for digest, part in blobs.items():
        _verify(digest, part)
    if LAYOUT_FILE not in entries or INDEX_FILE not in entries:
        raise SpecError(f"`{file.path}` is not a {kind}: it is not an OCI image layout")
    check_layout(read_small(entries[LAYOUT_FILE]))
    described = read_index(read_small(entries[INDEX_FILE])).manifests
    documents = {entry.digest: _document(entry, blobs) for entry in described}
    return Layout(file, blobs, tuple(described), documents)


def _document(entry: IndexEntry, blobs: dict[Digest, Slice]) -> tuple[bytes, dict[str, object]]:
    part = blobs.get(entry.digest)
    if part is None or part.size != entry.size:
        raise IntegrityError(f"the manifest `{entry.digest}` of index.json is missing")
    data = read_small(part)
    return data, json.parse_object(data, f"manifest `{entry.digest}`")


def read_small(part: Slice, limit: int = _SMALL) -> bytes:
    """Read a small blob into memory. Raises `SpecError` if it has more than `limit` bytes."""
    if part.size > limit:
        raise SpecError(
            f"`{part.file.path}` contains a document of {part.size} bytes; the limit is {limit}"
        )
    return part.read(0, part.size)


def _digest_of(name: str) -> Digest | None:
    match = _BLOB.fullmatch(name)
    return Digest(f"sha256:{match[1]}") if match else None


def _verify(digest: Digest, part: Slice) -> None:
    actual = digest_of(part)
    if actual != digest:
        raise DigestMismatchError(
            f"a blob of `{part.file.path}`", expected=str(digest), found=str(actual), hint=_DAMAGED
        )


def _entries(file: OpenFile, kind: str) -> dict[str, Slice]:
    """The regular files of the tar by name. Raises `SpecError` for other types and names."""
    entries: dict[str, Slice] = {}
    end = 0
    try:
        with file.path.open("rb") as stream, tarfile.open(fileobj=stream, mode="r:") as tar:
            for member in tar:
                end = member.offset_data + -(-member.size // 512) * 512
                if member.isdir() and member.name in _FOLDERS:
                    continue
                _check_member(member, entries, file, kind)
                entries[member.name] = Slice(file, member.offset_data, member.size)
    except (tarfile.TarError, ValueError, OverflowError, OSError) as problem:
        raise SpecError(f"`{file.path}` is not a {kind}: {problem}") from problem
    _check_padding(file, end)
    return entries


def _check_member(
    member: tarfile.TarInfo, entries: dict[str, Slice], file: OpenFile, kind: str
) -> None:
    plain = member.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not member.issparse()
    name = member.name
    if not plain or (name not in (INDEX_FILE, LAYOUT_FILE) and _digest_of(name) is None):
        raise SpecError(f"`{file.path}` contains {name!r}, which is not allowed in a {kind}")
    if name in entries:
        raise SpecError(f"`{file.path}` contains {name!r} more than once")
    if member.offset_data + member.size > file.size:
        raise IntegrityError(f"`{file.path}` is truncated within {name!r}", hint=_DAMAGED)


def _check_padding(file: OpenFile, end: int) -> None:
    """Raise `IntegrityError` unless only zeros follow the last entry.

    Otherwise a damaged header would hide the entries after it.
    """
    for start in range(min(end, file.size), file.size, CHUNK):
        if file.read(start, min(start + CHUNK, file.size)).strip(b"\0"):
            raise IntegrityError(
                f"`{file.path}` is damaged: there is data after its last entry", hint=_DAMAGED
            )
