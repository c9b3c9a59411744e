"""Sources of blobs."""

from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO, Protocol

from skillpm.spec.digests import Digest


class BlobSource(Protocol):
    """A source of blobs: an index or an archive."""

    def open_blob(self, digest: Digest) -> BinaryIO:
        """A stream of the blob's bytes. Raises `NotFoundError` if the source lacks the blob."""
        ...


@dataclass(frozen=True)
class InMemoryBlob:
    """A source that has one blob."""

    data: bytes

    def open_blob(self, digest: Digest) -> BinaryIO:
        """The bytes as a stream."""
        del digest
        return BytesIO(self.data)
