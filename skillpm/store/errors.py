"""What can be wrong with a blob of the store."""

from pathlib import Path

from skillpm.errors import DigestMismatchError, NotFoundError
from skillpm.spec.digests import Digest

_FETCH = "`skillpm install` fetches it again"


class MissingBlobError(NotFoundError):
    """A blob that the store lacks."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(f"blob `{digest}` is not in the store", hint=_FETCH)
        self.digest = digest


class DamagedBlobError(DigestMismatchError):
    """A blob of the store whose bytes are not what its name says."""

    def __init__(self, digest: Digest, path: Path, *, found: str) -> None:
        super().__init__(f"`{path}`", expected=str(digest), found=found, hint=_FETCH)
        self.digest = digest


class WrongBlobError(DigestMismatchError):
    """Bytes from a registry or a pack file that are not those of the blob that was asked for."""

    def __init__(self, digest: Digest, size: int, *, found: str) -> None:
        super().__init__(
            f"a blob of {size} bytes",
            expected=str(digest),
            found=found,
            hint="the registry has it damaged: publishing the same pack again mends it there",
        )
        self.digest = digest
