"""Checking the bytes of a blob while they stream."""

from collections.abc import Iterator

from skillpm.errors import DigestMismatchError
from skillpm.files.hashing import HashingReader, Readable
from skillpm.spec.digests import Digest
from skillpm_registry.errors import BlobSizeError, SourceUnreadableError


def verified(source: Readable, digest: Digest, size: int) -> Iterator[bytes]:
    """Yield the bytes of `source` in chunks, and check size and digest at the end.

    Reads at most one byte more than `size`. Raises `DigestMismatchError` and `BlobSizeError`.
    """

    def unreadable(problem: OSError) -> SourceUnreadableError:
        return SourceUnreadableError(digest, problem.strerror or str(problem))

    reader = HashingReader(source, unreadable)
    for chunk in reader.chunks(size):
        if reader.size > size:
            raise BlobSizeError(digest, expected=size, found="longer")
        yield chunk
    if reader.size < size:
        raise BlobSizeError(digest, expected=size, found=str(reader.size))
    if reader.digest != digest:
        raise DigestMismatchError("a blob", expected=digest.text, found=reader.digest.text)
