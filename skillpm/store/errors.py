"""Errors about blobs of the store."""

from pathlib import Path

from skillpm.errors import DigestMismatchError, NotFoundError
from skillpm.spec.digests import Digest

_FETCH = "`skillpm install` fetches it again"


class MissingBlobError(NotFoundError):
    """A blob is not in the store."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"blob `{digest}` is not in the store", hint=_FETCH)
        self.digest = digest


class DamagedBlobError(DigestMismatchError):
    """A blob of the store has other bytes than its digest states."""

    def __init__(self, digest: Digest, path: Path, *, found: str) -> None:
        super().__init__(f"`{path}`", expected=str(digest), found=found, hint=_FETCH)
        self.digest = digest


class WrongBlobError(DigestMismatchError):
    """A registry or a pack file returned other bytes than those of the requested blob."""

    def __init__(self, digest: Digest, size: int, *, found: str) -> None:
        super().__init__(
            f"a blob of {size} bytes",
            expected=str(digest),
            found=found,
            hint="the blob is damaged in the registry; publish the same pack again to repair it",
        )
        self.digest = digest
