"""Writes `.skillpack` files and bundles. Equal contents give equal bytes."""

import io
import os
import tarfile
from collections.abc import Mapping
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import BinaryIO

from skillpm.archive.layout import BLOBS, INDEX_FILE, LAYOUT, LAYOUT_FILE, index_of
from skillpm.errors import DigestMismatchError, StateError
from skillpm.files.hashing import HashingReader
from skillpm.files.output import staged_path
from skillpm.journal.atomic import sync_folder
from skillpm.journal.owner import is_alive
from skillpm.spec.bundle import BUNDLE_TYPE
from skillpm.spec.digests import Digest
from skillpm.spec.oci import ARTIFACT_TYPE

_MODE = 0o644
_END = 2 * tarfile.BLOCKSIZE
"""Two empty blocks end a tar."""


def write_archive(
    path: Path, image: bytes, version: str, blobs: Mapping[Digest, Path | bytes]
) -> Digest:
    """Write a pack file to `path` by one rename, and return the digest of the pack.

    Entries are sorted, and times, owners and modes are fixed. Raises `StateError` if the file
    cannot be written; `path` is then unchanged.
    """
    write_layout(path, _contents(image, version, blobs))
    return Digest.of(image)


def write_bundle(
    path: Path, bundle: bytes, packs: Mapping[str, bytes], blobs: Mapping[Digest, Path | bytes]
) -> Digest:
    """Write a bundle to `path` by one rename, and return the digest of its OCI manifest.

    `bundle` is the OCI manifest of the bundle, and `packs` are those of its packs by reference.
    Equal environments give equal bytes. Raises `StateError` if the file cannot be written; `path`
    is then unchanged.
    """
    listed = [(bundle, "bundle", BUNDLE_TYPE)]
    listed += [(image, ref, ARTIFACT_TYPE) for ref, image in sorted(packs.items())]
    contents = _layout(index_of(listed), blobs)
    contents |= {f"{BLOBS}{Digest.of(image).hex}": image for image, _, _ in listed}
    write_layout(path, contents)
    return Digest.of(bundle)


def write_layout(path: Path, contents: Mapping[str, Path | bytes]) -> None:
    """Write a tar of these entries to `path` by one rename. Raises `StateError`."""
    staged = staged_path(path)
    _sweep(path)
    try:
        with staged.open("xb") as file:
            _write_tar(file, contents)
            file.flush()
            os.fsync(file.fileno())
        staged.replace(path)
        sync_folder(path.parent)
    except OSError as problem:
        raise StateError(f"`{path}` cannot be written: {problem.strerror}") from problem
    finally:
        with suppress(OSError):
            staged.unlink(missing_ok=True)


def archive_size(image: bytes, version: str, blobs: Mapping[Digest, Path | bytes]) -> int:
    """The size in bytes of the file that `write_archive` would write."""
    total = 0
    for data in _contents(image, version, blobs).values():
        size = len(data) if isinstance(data, bytes) else data.stat().st_size
        total += tarfile.BLOCKSIZE * (1 + -(-size // tarfile.BLOCKSIZE))
    return total + _END


def _contents(
    image: bytes, version: str, blobs: Mapping[Digest, Path | bytes]
) -> dict[str, Path | bytes]:
    contents = _layout(index_of([(image, version, None)]), blobs)
    contents[f"{BLOBS}{Digest.of(image).hex}"] = image
    return contents


def _layout(index: bytes, blobs: Mapping[Digest, Path | bytes]) -> dict[str, Path | bytes]:
    contents: dict[str, Path | bytes] = {f"{BLOBS}{blob.hex}": data for blob, data in blobs.items()}
    return {**contents, INDEX_FILE: index, LAYOUT_FILE: LAYOUT}


def _sweep(path: Path) -> None:
    """Remove temporary files that a killed writer of the same file left."""
    for stray in path.parent.glob(f".{escape(path.name)}.*.tmp"):
        pid = stray.name.removesuffix(".tmp").rpartition(".")[2]
        if pid.isdigit() and not is_alive(int(pid)):
            stray.unlink(missing_ok=True)


def _check_written(name: str, source: Path, reading: HashingReader) -> None:
    """Raise `DigestMismatchError` if a written blob does not have the digest in its name."""
    if name.startswith(BLOBS) and reading.digest.hex != name.removeprefix(BLOBS):
        raise DigestMismatchError(
            f"`{source}`",
            expected=f"sha256:{name.removeprefix(BLOBS)}",
            found=str(reading.digest),
            hint="run `skillpm cache verify --repair` to fetch damaged blobs of the store again",
        )


def _write_tar(file: BinaryIO, contents: Mapping[str, Path | bytes]) -> None:
    with tarfile.open(fileobj=file, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in sorted(contents.items()):
            info = tarfile.TarInfo(name)
            info.mode = _MODE
            if isinstance(data, bytes):
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
            else:
                with data.open("rb") as blob:
                    info.size = os.fstat(blob.fileno()).st_size
                    reading = HashingReader(blob)
                    tar.addfile(info, reading)
                _check_written(name, data, reading)
        end = tar.offset + _END
    file.truncate(end)  # remove tar's padding to a full record, because a budget counts every byte
