"""Errors of uploading, publishing and of a registry's stores, beside those of `errors`."""

from collections.abc import Sequence

from skillpm.errors import NotFoundError, RegistryError, StateError
from skillpm.spec.digests import Digest

_SHOWN = 3


class BlobStoreError(RegistryError):
    """The store of blobs cannot be reached or refuses a request."""

    def __init__(self, store: str, reason: str, *, hint: str | None = None) -> None:
        super().__init__(f"the blobs in `{store}` cannot be reached: {reason}", hint=hint)
        self.store = store


class DatabaseUnreachableError(RegistryError):
    """The database server cannot be reached or refuses a request."""

    def __init__(self, database: str, reason: str) -> None:
        super().__init__(f"the database `{database}` cannot be reached: {reason}")
        self.database = database


class RegistryOutdatedError(RegistryError):
    """The schema of a registry is older than this operation needs."""

    def __init__(self, place: str, *, found: str, needed: str) -> None:
        super().__init__(
            f"registry `{place}` has schema {found}, but needs schema {needed}",
            hint="`skillpm registry upgrade` migrates it; older versions of skillpm cannot read it "
            "then",
        )
        self.found = found
        self.needed = needed


class ServerLibraryError(RegistryError):
    """A library of the extra `server` or `s3` is not installed."""

    def __init__(self, library: str, extra: str) -> None:
        super().__init__(
            f"`{library}` is not installed",
            hint=f"`pip install 'skillpm-graft[{extra}]'`",
        )
        self.library = library


class BlobsNotLiveError(StateError):
    """Blobs of a pack were not uploaded, or were collected as garbage: upload them again."""

    def __init__(self, digests: Sequence[Digest]) -> None:
        shown = ", ".join(f"`{digest.short}`" for digest in digests[:_SHOWN])
        more = f" and {len(digests) - _SHOWN} more" if len(digests) > _SHOWN else ""
        super().__init__(
            f"{len(digests)} blobs of the pack are not in the registry: {shown}{more}",
            hint="run the command again: it uploads what is missing",
        )
        self.digests = tuple(digests)


class BlobBusyError(StateError):
    """The collector is deleting a blob. It can be uploaded again in a moment."""

    def __init__(self, digest: Digest) -> None:
        super().__init__(
            f"blob `{digest}` is being removed as garbage",
            hint="run the command again in a moment: it uploads the blob again",
        )
        self.digest = digest


class UnknownUploadError(NotFoundError):
    """An upload session does not exist, has ended, or belongs to another principal."""

    def __init__(self, session: str) -> None:
        super().__init__(f"there is no upload `{session}`", hint="begin the upload again")
        self.session = session


class UploadLostError(StateError):
    """The bytes of an upload session are missing or incomplete."""

    def __init__(self, session: str) -> None:
        super().__init__(
            f"bytes of the upload `{session}` are missing", hint="begin the upload again"
        )
        self.session = session


class UploadOffsetError(StateError):
    """A chunk does not begin where the upload ends. `expected` is the offset to continue at."""

    def __init__(self, session: str, *, expected: int, found: int) -> None:
        super().__init__(
            f"the upload `{session}` continues at byte {expected}, not at byte {found}"
        )
        self.expected = expected
        self.found = found


class QuotaExceededError(StateError):
    """An upload would exceed the limit of a namespace or of a principal."""

    def __init__(self, owner: str, *, limit: int, needed: int) -> None:
        super().__init__(
            f"{owner} may store {limit} bytes, and would have {needed}",
            hint="ask an administrator of the registry for a larger quota",
        )
        self.limit = limit
        self.needed = needed


class UnknownNamespaceError(NotFoundError):
    """A namespace does not exist in this registry."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is no namespace `{name}` in the registry",
            hint=f"an administrator creates it: `skillpm registry namespace create {name}`",
        )
        self.name = name


class MirroredNamespaceError(StateError):
    """A namespace is mirrored from another registry, which alone publishes into it."""

    def __init__(self, name: str, origin: str) -> None:
        super().__init__(
            f"namespace `{name}` is a mirror of `{origin}`",
            hint=f"publish to that registry: `--registry {origin}`",
        )
        self.name = name
        self.origin = origin
